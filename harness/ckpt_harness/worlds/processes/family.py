"""The processes that a rank started and that have joined it: heard with the rank, asked with it, seen with it."""

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
    """A process of the rank's.

    Attributes:
        connection: to it.
        pid: its process id.
        stopping: what it said before it stopped itself, and when it is continued.
        threads: what it last answered; None until it has.
    """

    connection: Connection
    pid: int
    stopping: tuple[Stopping, float] | None = None
    threads: tuple[Thread, ...] | None = field(default=())


class Family:
    """What a rank keeps of the processes that joined it. Used by the rank's listening thread alone, but for the constructor.

    Args:
        welcome: what each of them is told first.
        hear: takes the events that they report.

    Attributes:
        name: of the socket that they find in their environment.
        door: the socket; readable when somebody wants to join.
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
        """To those that are there."""
        return [one.connection for one in self._members]

    def admit(self) -> None:
        """Lets one join, unless it is another user's."""
        theirs, _ = self.door.accept()
        pid, user, _ = _CREDENTIALS.unpack(theirs.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size))
        if user != os.getuid():
            theirs.close()
            return
        member = _Member(Connection(theirs.detach()), pid)
        messages.send(member.connection, self._welcome)
        self._members.append(member)

    def listen(self, connection: Connection) -> None:
        """Takes one message of one of them; one that has ended is forgotten."""
        member = next(one for one in self._members if one.connection is connection)
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
        """Asks all of them where their threads are."""
        self._asked = number
        for member in list(self._members):
            member.threads = self._held(member)
            if member.threads is None:
                try:
                    messages.send(member.connection, Where(number))
                except OSError:
                    self._part_with(member)

    def _part_with(self, member: _Member) -> None:
        """Expects no more of one that has said its last. On a busy machine seconds may pass until it is gone, and its rank is told by its end."""
        self._members.remove(member)
        self._leaving.append(member.pid)

    def answers(self) -> tuple[Thread, ...] | None:
        """The threads of all of them; None while one has not answered, or is not gone yet."""
        self._leaving = [pid for pid in self._leaving if not ended(pid)]
        if self._leaving:
            return None
        found: list[Thread] = []
        for member in self._members:
            if member.threads is None:
                return None
            found += member.threads
        return tuple(found)

    def close(self) -> None:
        """Lets nobody join any more, and leaves those that did."""
        self.door.close()
        for member in self._members:
            member.connection.close()
        self._members.clear()
        self._leaving.clear()

    def _held(self, member: _Member) -> tuple[Thread, ...] | None:
        """What is known of a process that SIGSTOP holds; None for one that runs and can be asked."""
        if not stopped(member.pid):
            return None
        if member.stopping is not None and member.stopping[1] <= time.monotonic():
            member.stopping = None
            os.kill(member.pid, signal.SIGCONT)
            return None
        if member.stopping is None:
            return (Thread("waits", "SIGSTOP", "a line that is not known", True, ()),)
        said, until = member.stopping
        return (Thread("waits" if math.isinf(until) else "sleeps", said.why, said.source, True, ()),)
