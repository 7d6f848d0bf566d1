"""Ranks that belong together, and who keeps them warm between cases."""

from __future__ import annotations

import atexit
import contextlib
import itertools
import os
import time
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

from harness.errors import HarnessError
from harness.worlds.processes import messages
from harness.worlds.processes.forkserver import Forkserver
from harness.worlds.processes.messages import Settle, Settled

_SETTLE_LIMIT = 5.0
"""Real seconds that ranks may take to get ready for another job; then they are replaced."""
_MOST_IDLE = 24
"""Idle ranks that are kept; each holds some 30 MB of its own."""


class Terms(NamedTuple):
    """What distinguishes crews that cannot do each other's work.

    Attributes:
        size: number of ranks.
        timeout: of their process group; None without a group.
    """

    size: int
    timeout: float | None


class Crew:
    """Ranks in one process group, which they make on their first job.

    Args:
        server: where they come from.
        terms: what they are for.
        store: file to make the group with.

    Attributes:
        pids: process ids, in rank order.
        connections: to each, in rank order.
        fresh: whether they have not had a job yet.
    """

    def __init__(self, server: Forkserver, terms: Terms, store: Path) -> None:
        self.server, self.terms, self.store = server, terms, store
        self.fresh = True
        forked = server.fork(terms.size)
        self.pids = [pid for pid, _ in forked]
        self.connections = [Connection(ours.detach()) for _, ours in forked]
        self._settling: set[Connection] = set()

    def send(self, rank: int, message: Any) -> None:
        """Sends a message to a rank; one that is dead is found so when it is listened to."""
        with contextlib.suppress(OSError):
            messages.send(self.connections[rank], message)

    def settle(self, number: int) -> None:
        """Begins to make the ranks ready for another job."""
        self._settling = set(self.connections)
        for rank in range(self.terms.size):
            self.send(rank, Settle(number))

    def settled(self) -> bool:
        """Waits until the ranks are ready; False if they cannot be used again."""
        deadline = time.monotonic() + _SETTLE_LIMIT
        while self._settling:
            ready = wait(list(self._settling), max(0.0, deadline - time.monotonic()))
            for one in ready:
                assert isinstance(one, Connection)
                if not _is_settled(one):
                    return False
                self._settling.discard(one)
            if not ready:
                return False
        return True

    def end(self) -> None:
        """Kills the ranks."""
        for connection in self.connections:
            connection.close()
        if self.server.usable:
            self.server.end(self.pids)
        self.store.unlink(missing_ok=True)


def _is_settled(connection: Connection) -> bool:
    try:
        message = messages.receive(connection)
    except EOFError:
        return False
    return isinstance(message, Settled) and message.usable


class Crews:
    """The forkserver and the idle crews. It starts when it is first needed, and starts again if it was lost.

    Use it as a context manager, or close it: it owns processes. :func:`shared` is one for the whole process.
    """

    def __init__(self) -> None:
        self._server: Forkserver | None = None
        self._idle: list[Crew] = []
        self._busy: list[Crew] = []
        self._numbers = itertools.count(1)

    def __enter__(self) -> Crews:  # noqa: PYI034  (Self is not in typing before Python 3.11)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def server(self) -> Forkserver:
        """The running forkserver.

        Raises:
            UsageError: not on Linux.
            HarnessError: it does not start.
        """
        if self._server is not None and not self._server.usable:
            self.close()
        if self._server is None:
            self._server = Forkserver()
        return self._server

    def take(self, terms: Terms) -> Crew:
        """A crew that nobody else uses: an idle one, or a new one."""
        server = self.server()
        for crew in [one for one in self._idle if one.terms == terms]:
            self._idle.remove(crew)
            if crew.settled():
                self._busy.append(crew)
                return crew
            crew.end()
        crew = Crew(server, terms, Path(server.directory, f"group-{next(self._numbers)}"))
        self._busy.append(crew)
        return crew

    def give_back(self, crew: Crew, *, reusable: bool) -> None:
        """Takes a crew back; one that was disturbed is ended, since its group is broken, and replaced when next needed."""
        self._busy.remove(crew)
        if not reusable:
            crew.end()
            return
        crew.fresh = False
        crew.settle(next(self._numbers))
        self._idle.append(crew)
        while sum(one.terms.size for one in self._idle) > _MOST_IDLE and len(self._idle) > 1:
            self._idle.pop(0).end()

    def close(self) -> None:
        """Ends everything."""
        for crew in (*self._idle, *self._busy):
            for connection in crew.connections:
                connection.close()
        self._idle.clear()
        self._busy.clear()
        if self._server is not None:
            self._server.close()
            self._server = None


_shared: dict[int, Crews] = {}


def shared() -> Crews:
    """The crews of this process, ended when it exits; a forked copy of the process gets its own."""
    if os.getpid() not in _shared:
        _shared.clear()
        _shared[os.getpid()] = Crews()
        atexit.register(_close, os.getpid())
    return _shared[os.getpid()]


def _close(owner: int) -> None:
    if os.getpid() == owner:
        with contextlib.suppress(HarnessError):
            _shared[owner].close()
