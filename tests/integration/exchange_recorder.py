"""Records the bytes that pass a TCP address, and a store that echoes requests of every kind."""

from __future__ import annotations

import contextlib
import hashlib
import json
import socket
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit


class Recorder:
    """An address that passes bytes on, untouched, to another address.

    Attributes:
        url: the address.
        upstream: where new connections lead to.
    """

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.upstream = ""
        self._recordings: list[tuple[bytearray, bytearray]] = []
        self._sockets: list[socket.socket] = [self._listener]
        self._threads: list[threading.Thread] = []
        self._start(self._accept)

    def take(self) -> list[tuple[bytes, bytes]]:
        """What was sent and received over each connection since the last call, sorted; connections that carried nothing are left out."""
        recordings, self._recordings = self._recordings, []
        return sorted((bytes(sent), bytes(received)) for sent, received in recordings if sent or received)

    def close(self) -> None:
        """Ends all connections, and waits until nothing of them runs."""
        for connection in self._sockets:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        for thread in self._threads:
            thread.join(timeout=60)

    def _start(self, work: Callable[..., None], *args: Any) -> None:
        thread = threading.Thread(target=work, args=args)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                parts = urlsplit(self.upstream)
                server = socket.create_connection((parts.hostname or "", parts.port or 80))
                for connection in (client, server):
                    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    self._sockets.append(connection)
                recording = bytearray(), bytearray()
                self._recordings.append(recording)
                self._start(self._pump, client, server, recording[0])
                self._start(self._pump, server, client, recording[1])

    @staticmethod
    def _pump(source: socket.socket, target: socket.socket, recorded: bytearray) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(1 << 16):
                recorded += data
                target.sendall(data)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)


class _Echo(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):
            return self._echo
        raise AttributeError(name)

    def log_message(self, *_: object) -> None:
        pass

    def _echo(self) -> None:
        """Answers with what was received: in one piece, in chunks, or until the end of the connection, as the path says."""
        body = self._body()
        shown = body.decode("latin-1") if len(body) < 1000 else hashlib.sha256(body).hexdigest() + "=" * 1000
        echoed = json.dumps([self.command, self.path, self.headers.items(), shown]).encode()
        self.send_response(207 if self.command == "PROPFIND" else 200, "As You Like It")
        self.send_header("X-oDD-CaSe", "  kept ")
        if "chunked" in self.path:
            self.send_header("Transfer-Encoding", "chunked")
        elif "until-close" in self.path:
            self.send_header("Connection", "close")
        else:
            self.send_header("Content-Length", str(len(echoed)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if "chunked" in self.path:
            for start in range(0, len(echoed), 100):
                piece = echoed[start : start + 100]
                self.wfile.write(b"%X;note=1\r\n%b\r\n" % (len(piece), piece))
            self.wfile.write(b"0\r\nX-Trailer: end\r\n\r\n")
        else:
            self.wfile.write(echoed)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        chunks = []
        while length := int(self.rfile.readline().partition(b";")[0], 16):
            chunks.append(self.rfile.read(length))
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return b"".join(chunks)


def echo_server() -> ThreadingHTTPServer:
    """A server that answers every method with what it received; not started yet."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Echo)
    server.daemon_threads = False
    return server
