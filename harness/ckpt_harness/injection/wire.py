"""One end of a connection that a proxy passes bytes through: what has come, what is to go, and waiting for either."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
from urllib.parse import urlsplit

_PIECE = 1 << 16
"""Bytes that are taken at once, and that wait at most to be sent."""


class Wire:
    """A socket that never blocks, with its bytes.

    Args:
        connection: the connected socket.

    Attributes:
        incoming: bytes that have come and are not used yet.
        outgoing: bytes that are to be sent.
        ended: whether the other side has ended its stream.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.incoming = bytearray()
        self.outgoing = bytearray()
        self.ended = False
        self._socket = connection
        connection.setblocking(False)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    @classmethod
    def to(cls, address: str) -> Wire:
        """Connects to ``http://host:port`` or ``https://host:port``.

        Raises:
            OSError: nobody listens there.
        """
        parts = urlsplit(address)
        secure = parts.scheme == "https"
        connection = socket.create_connection((parts.hostname or "", parts.port or (443 if secure else 80)))
        if secure:
            context = ssl.create_default_context()
            context.set_alpn_protocols(["http/1.1"])
            connection = context.wrap_socket(connection, server_hostname=parts.hostname)
        return cls(connection)

    @property
    def full(self) -> bool:
        """Whether so much waits to be sent that no more should be taken from the other side."""
        return len(self.outgoing) >= _PIECE

    def receive(self) -> None:
        """Takes what has come.

        Raises:
            OSError: the connection was reset.
        """
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            data = self._socket.recv(_PIECE)
            self.incoming += data
            self.ended = self.ended or not data

    def send(self) -> None:
        """Sends what can be sent now.

        Raises:
            OSError: the connection was reset.
        """
        with contextlib.suppress(BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            sent = self._socket.send(self.outgoing)
            del self.outgoing[:sent]

    def end(self) -> None:
        """Ends the stream to the other side, which may still send."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_WR)

    def wake(self) -> None:
        """Ends both streams, from any thread: whoever waits for this wire goes on."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def close(self, *, reset: bool = False) -> None:
        """Closes the connection: in order, or so that it appears as a reset on the other side."""
        with contextlib.suppress(OSError):
            if reset:
                self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            else:
                self._socket.shutdown(socket.SHUT_WR)
        self._socket.close()

    @property
    def _holds_more(self) -> bool:
        """Whether bytes have come that the operating system does not know of any more."""
        return isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0

    @staticmethod
    def wait(receiving: list[Wire], timeout: float | None = None, *, sending: tuple[Wire, ...] = ()) -> None:
        """Waits until one of the wires can go on, and lets all that can receive and send.

        Args:
            receiving: the wires to receive from.
            timeout: seconds to wait at most.
            sending: the wires to send to, as far as they have something to send.

        Raises:
            OSError: a connection was reset.
        """
        poll, hurry = select.poll(), any(wire._holds_more for wire in receiving)  # unlike select(), works for any number of open files
        wishes: dict[int, int] = {}
        for wires, event in ((receiving, select.POLLIN), ([wire for wire in sending if wire.outgoing], select.POLLOUT)):
            for wire in wires:
                number = wire._socket.fileno()
                wishes[number] = wishes.get(number, 0) | event
        for number, events in wishes.items():
            poll.register(number, events)
        ready = {number for number, _ in poll.poll(0 if hurry else None if timeout is None else timeout * 1000)}
        for wire in sending:
            if wire.outgoing and wire._socket.fileno() in ready:
                wire.send()
        for wire in receiving:
            if wire._socket.fileno() in ready or wire._holds_more:
                wire.receive()
