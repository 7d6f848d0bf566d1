"""Crews: the ranks of a process group, and their owner, which keeps them alive between cases."""

from __future__ import annotations

import _thread
import atexit
import contextlib
import itertools
import os
import signal
from multiprocessing.connection import Connection, wait
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Protocol

from ckpt_harness.errors import HarnessError, UsageError
from ckpt_harness.worlds.fair_clock import SLICE, FairClock
from ckpt_harness.worlds.interruption import only_waiting
from ckpt_harness.worlds.processes import messages
from ckpt_harness.worlds.processes.evidence import ended, stopped
from ckpt_harness.worlds.processes.forkserver import Forkserver
from ckpt_harness.worlds.processes.messages import Answer, Form, Settle, Settled
from ckpt_harness.worlds.processes.turns import Turn, Turns

_SETTLE_LIMIT = 10.0
"""Seconds within which ranks must be ready for a job; otherwise they are replaced. Seconds in which they wait for a processor do not count."""
_ATTEMPTS = 4
"""The number of crews to try, so that an idle crew in a bad state does not fail a case."""
_MOST_IDLE = 24
"""The number of idle ranks to keep; each has about 30 MB of its own memory."""


class Terms(NamedTuple):
    """The properties of a crew; a job needs a crew with the same properties.

    Attributes:
        size: the number of ranks.
        timeout: the timeout of their process group, in seconds; None without a group.
    """

    size: int
    timeout: float | None


class Ranks(Protocol):
    """The ranks of a run, as :class:`ckpt_harness.worlds.processes.listening.Run` needs them.

    Attributes:
        terms: size and timeout of the process group.
        connections: the connections to the ranks, in rank order.
    """

    terms: Terms
    connections: list[Connection]

    def send(self, rank: int, message: Any) -> None:
        """Sends a message to a rank. The death of a rank is noticed when its messages are received, not here."""

    def signal(self, rank: int, number: signal.Signals) -> None:
        """Sends a signal to the process of a rank.

        Raises:
            ProcessLookupError: the process has ended.
        """

    def stopped(self, rank: int) -> bool:
        """Whether the process of a rank is stopped by SIGSTOP."""

    def ended(self, rank: int) -> bool:
        """Whether the process of a rank has ended."""


class Crew:
    """Ranks in a process group. The ranks start to form the group at once.

    Args:
        server: the forkserver that forks the ranks.
        terms: size and timeout of the process group.
        store: the file of the group's store.

    Attributes:
        pids: the process ids, in rank order.
        connections: the connections to the ranks, in rank order.
        turn: the permission to run, while the crew runs a job.
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
        """Sends a message to a rank. The death of a rank is noticed when its messages are received, not here."""
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
        """Starts to make the ranks ready for another job."""
        self._settling = set(self.connections)
        for rank in range(self.terms.size):
            self.send(rank, Settle(number))

    def settled(self) -> str:
        """Waits until the ranks are ready. Returns "", or the reason why they are not ready."""
        clock = FairClock()
        deadline = clock.now() + _SETTLE_LIMIT
        while self._settling:
            with only_waiting():
                ready = wait(list(self._settling), min(SLICE, max(0.0, deadline - clock.now())))
            for connection in ready:
                assert isinstance(connection, Connection)
                rank = self.connections.index(connection)
                try:
                    message = messages.receive(connection)
                except EOFError:
                    return f"rank {rank} has ended"
                if isinstance(message, Answer):
                    continue  # a late answer to a question about the last job
                if not isinstance(message, Settled):
                    return f"rank {rank} sent an unexpected message: {message!r}"
                if message.why:
                    return f"rank {rank}: {message.why}"
                self._settling.discard(connection)
            if not ready:
                clock.tick()
            if clock.now() >= deadline:
                return f"{len(self._settling)} of {self.terms.size} ranks did not answer for {_SETTLE_LIMIT:g} s"
        return ""

    def end(self) -> None:
        """Kills the ranks."""
        for connection in self.connections:
            connection.close()
        if self.server.usable:
            self.server.end(self.pids)
        self.store.unlink(missing_ok=True)


class Crews:
    """The owner of the forkserver and of all crews. It starts the forkserver at first use, and again if the forkserver has ended.

    It owns processes: use it as a context manager, or call :meth:`close`. :func:`shared` returns the instance for the whole process. It is thread-safe.
    """

    def __init__(self) -> None:
        self._server: Forkserver | None = None
        self._idle: list[Crew] = []
        self._busy: list[Crew] = []
        self._numbers = itertools.count(1)
        self._lock = _thread.RLock()  # a raw lock: a simulated world replaces the locks of threading while it runs
        self._turns: Turns | None = None
        self._most_idle = _MOST_IDLE

    def share(self, turns: Turns, processes: int) -> None:
        """Shares the machine with other processes: from now on, this process waits for its turn to run ranks, and keeps fewer idle ranks.

        Args:
            turns: limits how many ranks run at the same time.
            processes: the number of processes that share the machine, including this process.
        """
        self._turns, self._most_idle = turns, _MOST_IDLE // processes

    def __enter__(self) -> Crews:  # noqa: PYI034  (Self is not in typing before Python 3.11)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def server(self) -> Forkserver:
        """Returns the running forkserver; starts it if needed.

        Raises:
            UsageError: the system is not Linux.
            HarnessError: the forkserver does not start.
        """
        with self._lock:
            if self._server is not None and not self._server.usable:
                self.close()
            if self._server is None:
                self._server = Forkserver()
            return self._server

    def take(self, terms: Terms) -> Crew:
        """Takes an idle crew, or makes a new crew, for the caller's use only.

        Raises:
            UsageError: the system is not Linux.
            HarnessError: new ranks cannot form a group, or other processes use the machine for too long.
        """
        # A process that already runs ranks needs no second turn: a judge may run another world.
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
            except HarnessError as error:  # the server has ended since it was last used
                why = str(error)
                continue
            why = crew.settled()
            if not why:
                self._busy.append(crew)
                return crew
            crew.end()
        raise HarnessError(f"{terms.size} ranks cannot form a process group: {why}")

    def _next(self, terms: Terms) -> Crew:
        server = self.server()
        crew = next((idle for idle in reversed(self._idle) if idle.terms == terms), None)
        if crew is None:
            return self._new(server, terms)
        self._idle.remove(crew)
        return crew

    def _new(self, server: Forkserver, terms: Terms) -> Crew:
        Path(server.directory).mkdir(exist_ok=True)  # another program may have emptied the directory for temporary files
        return Crew(server, terms, Path(server.directory, f"group-{next(self._numbers)}"))

    def give_back(self, crew: Crew, *, reusable: bool) -> None:
        """Takes a crew back.

        Args:
            crew: the crew.
            reusable: whether its process group is intact. If not, the crew is ended, and a replacement starts in the background.
        """
        with self._lock:
            if reusable and crew in self._busy:
                self._busy.remove(crew)
                crew.turn.end()
                crew.settle(next(self._numbers))
                self._idle.append(crew)
            else:
                with contextlib.suppress(HarnessError):  # the finished run is not affected, and the next run reports the error
                    self.discard(crew)
                    self._idle.append(self._new(self.server(), crew.terms))
            while sum(idle.terms.size for idle in self._idle) > self._most_idle and len(self._idle) > 1:
                self._idle.pop(0).end()

    def discard(self, crew: Crew) -> None:
        """Ends a taken crew."""
        with self._lock:
            if crew in self._busy:  # it is missing if close() was called meanwhile
                self._busy.remove(crew)
            try:
                crew.end()
            finally:
                crew.turn.end()

    def close(self) -> None:
        """Ends all crews and the forkserver."""
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
    """Returns the crews of this process. They end when the process exits. A forked copy of the process has its own."""
    if os.getpid() not in _shared:
        _shared.clear()
        _shared[os.getpid()] = Crews()
        atexit.register(_close, os.getpid())
    return _shared[os.getpid()]


def _close(owner: int) -> None:
    if os.getpid() == owner:
        with contextlib.suppress(HarnessError):
            _shared[owner].close()
