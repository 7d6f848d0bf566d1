"""Ranks that belong together, and who keeps them warm between cases."""

from __future__ import annotations

import _thread
import atexit
import contextlib
import itertools
import os
import signal
import time
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from ckpt_harness.errors import HarnessError, UsageError
from ckpt_harness.worlds.processes import messages
from ckpt_harness.worlds.processes.evidence import ended, stopped
from ckpt_harness.worlds.processes.forkserver import Forkserver
from ckpt_harness.worlds.processes.messages import Answer, Form, Settle, Settled
from ckpt_harness.worlds.processes.turns import Turn, Turns

_SETTLE_LIMIT = 10.0
"""Real seconds that ranks may take to get ready for a job; then they are replaced."""
_ATTEMPTS = 4
"""How many crews are tried: a machine under load, or an idle crew that was left in disorder, must not fail a case."""
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


class Ranks(Protocol):
    """Ranks that belong together, as whoever listens to them needs them.

    Attributes:
        terms: what they are for.
        connections: to each, in rank order.
    """

    terms: Terms
    connections: list[Connection]

    def send(self, rank: int, message: Any) -> None:
        """Sends a message to a rank; one that is dead is found so when it is listened to."""

    def signal(self, rank: int, number: signal.Signals) -> None:
        """Sends a signal to the process of a rank.

        Raises:
            ProcessLookupError: it is gone.
        """

    def stopped(self, rank: int) -> bool:
        """Whether SIGSTOP holds the process of a rank."""

    def ended(self, rank: int) -> bool:
        """Whether the process of a rank is over."""


class Crew:
    """Ranks in one process group, which they begin to make at once.

    Args:
        server: where they come from.
        terms: what they are for.
        store: file to make the group with.

    Attributes:
        pids: process ids, in rank order.
        connections: to each, in rank order.
        turn: leave to run, while it does.
    """

    def __init__(self, server: Forkserver, terms: Terms, store: Path) -> None:
        self.turn = Turn()
        self.server, self.terms, self.store = server, terms, store
        forked = server.fork(terms.size)
        self.pids = [pid for pid, _ in forked]
        self.connections = [Connection(ours.detach()) for _, ours in forked]
        self._settling = set(self.connections)
        file = None if terms.timeout is None else str(store)
        for rank in range(terms.size):
            self.send(rank, Form(rank, terms.size, file, terms.timeout or 0.0))

    def send(self, rank: int, message: Any) -> None:
        """Sends a message to a rank; one that is dead is found so when it is listened to."""
        with contextlib.suppress(OSError):
            messages.send(self.connections[rank], message)

    def signal(self, rank: int, number: signal.Signals) -> None:
        """See :class:`Ranks`."""
        os.kill(self.pids[rank], number)

    def stopped(self, rank: int) -> bool:
        """See :class:`Ranks`."""
        return stopped(self.pids[rank])

    def ended(self, rank: int) -> bool:
        """See :class:`Ranks`."""
        return ended(self.pids[rank])

    def settle(self, number: int) -> None:
        """Begins to make the ranks ready for another job."""
        self._settling = set(self.connections)
        for rank in range(self.terms.size):
            self.send(rank, Settle(number))

    def settled(self) -> str:
        """Waits until the ranks are ready; why they are not, or "" if they are."""
        deadline = time.monotonic() + _SETTLE_LIMIT
        while self._settling:
            ready = wait(list(self._settling), max(0.0, deadline - time.monotonic()))
            for one in ready:
                assert isinstance(one, Connection)
                try:
                    message = messages.receive(one)
                except EOFError:
                    return f"rank {self.connections.index(one)}: it has ended"
                if isinstance(message, Answer):
                    continue  # to a question that came when its part was over
                if not isinstance(message, Settled) or message.why:
                    return f"rank {self.connections.index(one)}: {message.why if isinstance(message, Settled) else f'it says {message!r}'}"
                self._settling.discard(one)
            if not ready:
                return f"no word from {len(self._settling)} of {self.terms.size} ranks for {_SETTLE_LIMIT:g} s"
        return ""

    def end(self) -> None:
        """Kills the ranks."""
        for connection in self.connections:
            connection.close()
        if self.server.usable:
            self.server.end(self.pids)
        self.store.unlink(missing_ok=True)


class Crews:
    """The forkserver and the idle crews. It starts when it is first needed, and starts again if it was lost.

    Use it as a context manager, or close it: it owns processes. :func:`shared` is one for the whole process. Threads may use it side by side.
    """

    def __init__(self) -> None:
        self._server: Forkserver | None = None
        self._idle: list[Crew] = []
        self._busy: list[Crew] = []
        self._numbers = itertools.count(1)
        self._lock = _thread.RLock()  # a raw one, as in the forkserver: a simulated world replaces those of threading while it runs
        self._turns: Turns | None = None
        self._most_idle = _MOST_IDLE

    def share(self, turns: Turns, processes: int) -> None:
        """From now on there are others: this process waits for its turn to run ranks, and keeps its part of the idle ones.

        Args:
            turns: how many ranks may run at once.
            processes: how many processes share the machine, this one included.
        """
        self._turns, self._most_idle = turns, _MOST_IDLE // processes

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
        with self._lock:
            if self._server is not None and not self._server.usable:
                self.close()
            if self._server is None:
                self._server = Forkserver()
            return self._server

    def take(self, terms: Terms) -> Crew:
        """A crew that nobody else uses: an idle one, or a new one.

        Raises:
            UsageError: not on Linux.
            HarnessError: new ranks cannot form a group, or other processes leave no turn.
        """
        # Who runs ranks already, and now wants more, has his turn: a judge may run another world.
        turn = Turn() if self._turns is None or self._busy else self._turns.take(terms.size)
        try:
            with self._lock:
                crew = self._take(terms)
        except BaseException:
            turn.end()
            raise
        crew.turn = turn
        return crew

    def _take(self, terms: Terms) -> Crew:
        why = ""
        for _ in range(_ATTEMPTS):
            try:
                crew = self._next(terms)
            except UsageError:
                raise
            except HarnessError as error:  # the server was lost since it was last heard of
                why = str(error)
                continue
            why = crew.settled()
            if not why:
                self._busy.append(crew)
                return crew
            crew.end()
        raise HarnessError(f"{terms.size} ranks cannot form a group: {why}")

    def _next(self, terms: Terms) -> Crew:
        server = self.server()
        crew = next((one for one in reversed(self._idle) if one.terms == terms), None)
        if crew is None:
            return self._new(server, terms)
        self._idle.remove(crew)
        return crew

    def _new(self, server: Forkserver, terms: Terms) -> Crew:
        Path(server.directory).mkdir(exist_ok=True)  # somebody may have emptied the place for temporary files
        return Crew(server, terms, Path(server.directory, f"group-{next(self._numbers)}"))

    def give_back(self, crew: Crew, *, reusable: bool) -> None:
        """Takes a crew back. One that was disturbed is ended, since its group is broken, and its replacement makes itself ready meanwhile."""
        with self._lock:
            if reusable and crew in self._busy:
                self._busy.remove(crew)
                crew.turn.end()
                crew.settle(next(self._numbers))
                self._idle.append(crew)
            else:
                with contextlib.suppress(HarnessError):  # of no concern to the run that is over; the next one will be told
                    self.discard(crew)
                    self._idle.append(self._new(self.server(), crew.terms))
            while sum(one.terms.size for one in self._idle) > self._most_idle and len(self._idle) > 1:
                self._idle.pop(0).end()

    def discard(self, crew: Crew) -> None:
        """Ends a crew that was taken."""
        with self._lock:
            if crew in self._busy:  # unless everything was ended meanwhile
                self._busy.remove(crew)
            try:
                crew.end()
            finally:
                crew.turn.end()

    def close(self) -> None:
        """Ends everything."""
        with self._lock:
            for crew in (*self._idle, *self._busy):
                crew.turn.end()
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
