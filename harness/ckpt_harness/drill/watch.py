"""One start of the command, watched: receives what its processes report, lets things happen at points, and ends what does not end.

One thread does it all, so that the reports of all processes have one order.
"""

from __future__ import annotations

import bisect
import json
import os
import selectors
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ckpt_harness.drill.evidence import Checkpoint, Point, Read, Start
from ckpt_harness.drill.inside.begin import STACKS
from ckpt_harness.drill.launchers.base import Running
from ckpt_harness.drill.stacks import where
from ckpt_harness.errors import UsageError, quoted

_PATIENCE = 2.0
"""Seconds in which a process writes its stacks."""
_TAIL = 4_000
"""Bytes of what the command printed that are kept."""

Respond = Callable[[Point, "Watch"], str]
"""Is called at each point; returns the answer: ``go``, ``hang`` or the name of an errno."""


def always_go(_point: Point, _watch: Watch) -> str:
    """Lets nothing happen."""
    return "go"


class Desk:
    """The socket at which the processes of one start report.

    Args:
        address: the path of the socket.
    """

    def __init__(self, address: Path) -> None:
        self.address = address
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(str(address))
        self.listener.listen(128)

    def close(self) -> None:
        """Removes the socket."""
        self.listener.close()
        self.address.unlink(missing_ok=True)


class Process:
    """What is known of one process of the command.

    Attributes:
        role: its role, as it says.
        raised: the class of the exception that ended it; None until it says goodbye.
    """

    def __init__(self) -> None:
        self.role = ""
        self.raised: str | None = None


class Watch:
    """Watches one start.

    Args:
        running: the command.
        desk: where its processes report.
        original: the user's own state directory, for messages.
        respond: says what happens at a point.
        shape: gives the shape of the state directory.
        limit: seconds that the command may take.
        grace: seconds that it may take after a death.
        stacks: the directory in which processes write their stacks.
        ranked: whether a launcher numbers the ranks; None if that is not known yet.

    Attributes:
        running: the command.
        ranked: whether a launcher numbers the ranks, as far as is known.
        struck: whether something has happened.
        pid: the process that reported last.
    """

    def __init__(
        self,
        running: Running,
        desk: Desk,
        *,
        original: str,
        respond: Respond,
        shape: Callable[[], str],
        limit: float,
        grace: float,
        stacks: Path,
        ranked: bool | None,
    ) -> None:
        self.running = running
        self._desk = desk
        self._original = original
        self._respond = respond
        self._shape = shape
        self._grace = grace
        self._stacks = stacks
        self.ranked = ranked
        self._began = time.monotonic()
        self._deadline = self._began + limit
        self._processes: dict[int, Process] = {}
        self._buffers: dict[socket.socket, bytes] = {}
        self._owner: dict[socket.socket, int] = {}
        self._selector = selectors.DefaultSelector()
        self._points: list[tuple[int, Point]] = []
        self._reads: list[tuple[int, Read]] = []
        self._unobserved: list[tuple[int, str]] = []
        self._unseen: list[str] = []
        self._late = False
        self.struck = False
        self.pid = 0

    # -- what may happen at a point

    def strike(self, effect: str) -> str:
        """Lets an effect happen to the process that has just reported a point.

        Args:
            effect: ``kill-job``, ``kill-rank``, ``term``, ``hang`` or the name of an errno.

        Returns:
            The answer for the process.
        """
        self.struck = True
        if effect == "kill-job":
            self.running.kill()
        elif effect == "kill-rank":
            os.kill(self.pid, signal.SIGKILL)
        elif effect == "term":
            for process in self.running.processes():
                os.kill(process, signal.SIGTERM)
        else:
            if effect == "hang":
                self.hurry()
            return effect
        self.hurry()
        return "go"

    def hurry(self) -> None:
        """From now on, the command has its grace, and no longer."""
        self._deadline = min(self._deadline, time.monotonic() + self._grace)

    # -- the loop

    def run(self, found: tuple[Checkpoint, ...], log: Path) -> Start:
        """Watches until the command has ended, or has been ended.

        Args:
            found: the checkpoints that were there before.
            log: the file with what the command prints.
        """
        self._selector.register(self._desk.listener, selectors.EVENT_READ)
        self._selector.register(self.running, selectors.EVENT_READ)
        waits: dict[str, str] = {}
        try:
            status = self._until_the_end()
            if self._late:
                waits = self._look_where_they_wait()
            self.running.kill()
            self._drain()
        finally:
            self._selector.close()
            for connection in self._buffers:
                connection.close()
        return self._summary(status, waits, found, log)

    def _until_the_end(self) -> int | None:
        """Serves the processes. Returns the status of the command; None if it has to be ended."""
        while True:
            status = self.running.ended()
            if status is not None and (not self.struck or not self._survivors()):
                return status
            rest = self._deadline - time.monotonic()
            if rest <= 0:
                self._late = True
                return status
            self._serve(min(rest, 1.0))

    def _serve(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            if key.fileobj is self._desk.listener:
                connection, _ = self._desk.listener.accept()
                self._buffers[connection] = b""
                self._selector.register(connection, selectors.EVENT_READ)
            elif key.fileobj is self.running:
                if self.running.ended() is not None:
                    self._selector.unregister(self.running)
            else:
                assert isinstance(key.fileobj, socket.socket)
                self._receive(key.fileobj)

    def _drain(self) -> None:
        """Receives what was sent before the end."""
        for connection in list(self._buffers):
            connection.setblocking(False)
            try:
                while self._receive(connection):
                    pass
            except (BlockingIOError, ValueError, KeyError):
                continue

    def _receive(self, connection: socket.socket) -> bool:
        """Receives what a process has sent; whether it may send more."""
        try:
            part = connection.recv(65536)
        except ConnectionError:
            part = b""
        if not part:
            self._lose(connection)
            return False
        *lines, self._buffers[connection] = (self._buffers[connection] + part).split(b"\n")
        for line in lines:
            self._take(connection, json.loads(line))
        return True

    def _lose(self, connection: socket.socket) -> None:
        """A process has closed its connection: it has ended, or has become another program."""
        self._selector.unregister(connection)
        connection.close()
        del self._buffers[connection]
        process = self._processes.get(self._owner.get(connection, 0))
        if process is None:
            return
        if self.struck and process.role.isdecimal() and process.raised != "":
            self.hurry()  # a rank has died: of the strike, or of an error that the strike caused

    # -- messages

    def _take(self, connection: socket.socket, message: dict[str, Any]) -> None:
        self.pid = pid = int(message["pid"])
        self._owner[connection] = pid
        process = self._processes.setdefault(pid, Process())
        process.role = str(message["role"])
        kind = message["type"]
        if kind == "hello":
            if process.role.isdecimal():
                self.ranked = True
        elif kind == "bye":
            process.raised = str(message["raised"])
        elif kind == "read":
            self._reads.append((pid, Read(process.role, str(message["path"]), len(self._points))))
        elif kind == "unobserved":
            self._unobserved += [(pid, str(operation)) for operation in message["operations"]]
        elif kind == "unseen":
            self._unseen.append(str(message["what"]))
        elif kind == "original":
            raise UsageError(
                f"the command reaches {quoted(message['path'])} although its words were changed to a copy of {quoted(self._original)}: "
                "name the directory in the command or in the environment"
            )
        elif kind == "point":
            self._answer(connection, message)

    def _answer(self, connection: socket.socket, message: dict[str, Any]) -> None:
        answer = "go"
        if not self._is_launcher(self.pid):
            point = self._point(message)
            self._points.append((self.pid, point))
            if not self._late:
                answer = self._respond(point, self)
        try:
            connection.sendall(answer.encode() + b"\n")
        except OSError:
            return  # the process has been killed

    def _point(self, message: dict[str, Any]) -> Point:
        role = str(message["role"])
        name = str(message["name"])
        if role.startswith("plain"):
            role = role.replace("plain", "0")
            name = name.replace("@plain", "@0")
        return Point(name, role, str(message["site"]), str(message["path"]), str(message["moment"]), self._shape())

    def _is_launcher(self, pid: int) -> bool:
        """Whether a process that no launcher has numbered is a launcher itself, as far as is known now."""
        return bool(self.ranked) and self._processes[pid].role.startswith("plain")

    # -- the end

    def _survivors(self) -> int:
        """Ranks that still run."""
        living = set(self.running.processes())
        return sum(1 for pid, process in self._processes.items() if pid in living and self._is_rank(pid) and process.raised is None)

    def _is_rank(self, pid: int) -> bool:
        return self._processes[pid].role.isdecimal() or (self._processes[pid].role == "plain" and not self.ranked)

    def _look_where_they_wait(self) -> dict[str, str]:
        """Where each rank waits, from the stack that it writes itself."""
        living = set(self.running.processes())
        ranks = [pid for pid in self._processes if self._is_rank(pid) and pid in living]
        for pid in ranks:
            os.kill(pid, STACKS)
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end and not all(_written(self._stacks / str(pid)) for pid in ranks):
            time.sleep(0.02)
        found = {}
        for pid in ranks:
            place = where(self._stacks / str(pid))
            if place:
                found[self._shown(pid)] = place
        return found

    def _shown(self, pid: int) -> str:
        return self._processes[pid].role.replace("plain", "0")

    def _summary(self, status: int | None, waits: dict[str, str], found: tuple[Checkpoint, ...], log: Path) -> Start:
        seen = [pid for pid in self._processes if not self._is_launcher(pid)]
        dropped = [number for number, (pid, _) in enumerate(self._points) if pid not in seen]
        return Start(
            status=status,
            seconds=time.monotonic() - self._began,
            late=self._late,
            struck=self.struck,
            points=tuple(point for pid, point in self._points if pid in seen),
            reads=tuple(
                Read(self._shown(pid), read.path, read.after - bisect.bisect_left(dropped, read.after)) for pid, read in self._reads if pid in seen
            ),
            raised={self._shown(pid): process.raised for pid, process in self._processes.items() if self._is_rank(pid) and process.raised is not None},
            waits=waits,
            unobserved=tuple(f"rank {self._shown(pid)}: {operation}" for pid, operation in self._unobserved),
            found=found,
            printed=_end_of(log),
            unseen=(*dict.fromkeys(self._unseen), *(() if self._processes else ("any Python process of the command",))),
        )


def _written(file: Path) -> bool:
    try:
        return file.stat().st_size > 0
    except OSError:
        return False


def _end_of(log: Path) -> str:
    """The end of what a command printed."""
    with log.open("rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - _TAIL))
        return file.read().decode("utf-8", "backslashreplace").strip("\n")
