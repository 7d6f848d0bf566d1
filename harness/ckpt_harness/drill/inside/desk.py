"""The line to the drill: each message is a line of JSON over a local socket. At a point the thread waits for an answer."""

from __future__ import annotations

import _thread
import json
import os
import socket
from typing import Any, Protocol


class Desk(Protocol):
    """Where a process reports what it does, and asks what is to happen."""

    def tell(self, message: dict[str, Any]) -> None:
        """Reports something, without an answer."""

    def ask(self, message: dict[str, Any]) -> str:
        """Reports a point. Returns ``go``, ``hang`` or the name of an errno; or never."""


class DrillDesk:
    """The desk of a drill that runs beside this process.

    Args:
        address: path of the drill's socket.
    """

    def __init__(self, address: str) -> None:
        self._address = address
        self._connection: socket.socket | None = None
        self._lock = _thread.allocate_lock()
        os.register_at_fork(after_in_child=self._forget)

    def tell(self, message: dict[str, Any]) -> None:
        with self._lock:
            self._send(message)

    def ask(self, message: dict[str, Any]) -> str:
        with self._lock:
            connection = self._send(message)
            answer = b""
            while not answer.endswith(b"\n"):
                part = connection.recv(256)
                if not part:
                    os._exit(99)  # the drill is gone: its warden ends this process, too
                answer += part
            return answer.decode().strip()

    def _send(self, message: dict[str, Any]) -> socket.socket:
        if self._connection is None:
            self._connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            self._connection.connect(self._address)
        self._connection.sendall(json.dumps({**message, "pid": os.getpid()}).encode() + b"\n")
        return self._connection

    def _forget(self) -> None:
        """In a forked child: the connection belongs to the parent, and another thread of the parent may have held the lock."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None
        self._lock = _thread.allocate_lock()
