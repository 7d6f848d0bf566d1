"""The processes that a rank started and that have joined it: the rank reports their events and threads as its own."""

from __future__ import annotations

import math
import os
import secrets
import signal
import socket
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from ckpt_harness.worlds.processes import messages
from ckpt_harness.worlds.processes.evidence import ended, stopped
from ckpt_harness.worlds.processes.messages import Answer, Happened, Reply, Stopping, Thread, Welcome, Where

_CREDENTIALS = struct.Struct("3i")


@dataclass(eq=False)
class _Member:
    """A process that has joined the rank.

    Attributes:
        connection: the connection to it.
        pid: its process id.
        stopping: the message it sent before it stopped itself, and when to continue it.
        threads: its last answer; None until it has answered.
    """

    connection: Connection
    pid: int
    stopping: tuple[Stopping, float] | None = None
    threads: tuple[Thread, ...] | None = field(default=())


class Family:
    """The processes that have joined a rank. Used by the rank's listening thread only, except for the constructor.

    Args:
        welcome: the first message to each process.
        hear: called with each event that a process reports.

    Attributes:
        name: name of the socket; the processes read it from their environment.
        door: the socket; readable when a process wants to join.
    """

    def __init__(self, welcome: Welcome, hear: Callable[[Happened], None]) -> None:
        self.name = f"ckpt-harness-{os.getpid()}-{secrets.token_hex(8)}"
        self.door = socket.socket(socket.AF_UNIX)
        self.door.bind(f"\0{self.name}")
        self.door.listen()
        self._welcome, self._hear = welcome, hear
        self._members: list[_Member] = []
        self._leaving: list[int] = []
        self._asked = 0

    @property
    def connections(self) -> list[Connection]:
        """The connections to the processes."""
        return [member.connection for member in self._members]

    def admit(self) -> None:
        """Lets a process join, unless it belongs to another user."""
        theirs, _ = self.door.accept()
        pid, user, _ = _CREDENTIALS.unpack(theirs.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        if user != os.getuid():
            theirs.close()
            return
        member = _Member(Connection(theirs.detach()), pid)
        messages.send(member.connection, self._welcome)
        self._members.append(member)

    def listen(self, connection: Connection) -> None:
        """Receives a message of a process; forgets the process if it has ended."""
        member = next(member for member in self._members if member.connection is connection)
        try:
            self._take(member, messages.receive(connection))
        except (EOFError, OSError):
            self._part_with(member)
            connection.close()

    def _take(self, member: _Member, message: Any) -> None:
        if isinstance(message, Happened):
            self._hear(message)
            messages.send(member.connection, Reply(None))
        elif isinstance(message, Stopping):
            member.stopping = (message, time.monotonic() + message.seconds)
        elif isinstance(message, Answer) and message.number == self._asked:
            member.threads = message.threads

    def ask(self, number: int) -> None:
        """Asks all processes where their threads are."""
        self._asked = number
        for member in list(self._members):
            member.threads = self._held(member)
            if member.threads is None:
                try:
                    messages.send(member.connection, Where(number))
                except OSError:
                    self._part_with(member)

    def _part_with(self, member: _Member) -> None:
        """Forgets a process that has closed its connection. On a busy machine, seconds may pass until it ends, and the rank may wait for its end."""
        self._members.remove(member)
        self._leaving.append(member.pid)

    def answers(self) -> tuple[Thread, ...] | None:
        """The threads of all processes; None while a process has not answered, or has closed its connection but not ended."""
        self._leaving = [pid for pid in self._leaving if not ended(pid)]
        if self._leaving:
            return None
        threads: list[Thread] = []
        for member in self._members:
            if member.threads is None:
                return None
            threads += member.threads
        return tuple(threads)

    def close(self) -> None:
        """Closes the socket and all connections."""
        self.door.close()
        for member in self._members:
            member.connection.close()
        self._members.clear()
        self._leaving.clear()

    def _held(self, member: _Member) -> tuple[Thread, ...] | None:
        """The state of a process that is stopped by SIGSTOP; None if it is not stopped, and can be asked."""
        if not stopped(member.pid):
            return None
        if member.stopping is not None and member.stopping[1] <= time.monotonic():
            member.stopping = None
            os.kill(member.pid, signal.SIGCONT)
            return None
        if member.stopping is None:
            return (Thread("waits", "SIGSTOP", "an unknown line", True, ()),)
        stopping, until = member.stopping
        return (Thread("waits" if math.isinf(until) else "sleeps", stopping.why, stopping.source, True, ()),)
