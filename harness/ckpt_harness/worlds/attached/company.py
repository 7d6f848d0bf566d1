"""All ranks that a launcher started: rank 0, which has the word, and the others, which serve it until it has no more cases."""

from __future__ import annotations

import contextlib
import dataclasses
import datetime as dt
import functools
import gc
import itertools
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from typing import Any

import torch
import torch.distributed as dist

from ckpt_harness import runtime
from ckpt_harness.errors import HarnessError, UsageError
from ckpt_harness.worlds.attached import clocks
from ckpt_harness.worlds.attached.door import LIMIT, Door, knock
from ckpt_harness.worlds.attached.messages import Finish, Finishing, Ping, Pong, Recall, Recalled
from ckpt_harness.worlds.attached.rank import LaunchedRank
from ckpt_harness.worlds.launcher import Launch
from ckpt_harness.worlds.processes import hooks, messages, where
from ckpt_harness.worlds.processes import rank as rank_of_processes
from ckpt_harness.worlds.processes.crew import Terms
from ckpt_harness.worlds.processes.messages import Form, Job, Settle, Settled

LOST = 3
"""Exit status where rank 0 is gone without a word: no verdict."""
_SETTLE_LIMIT = 60.0
"""Seconds that a rank may take to answer, to join a group, or to be let go; hosts may be busy, and none can be replaced."""
_EXIT_LIMIT = 60.0
"""Seconds that rank 0 may take from its last word to its exit."""


def together(main: Callable[[], int | None]) -> int:
    """Runs ``main`` on rank 0, while the other ranks serve the cases that it runs on an :class:`ckpt_harness.worlds.attached.AttachedWorld`.

    All ranks of the launcher call it, once. When it returns on ranks other than 0, rank 0 is about to exit or has.

    Args:
        main: called on rank 0 only; gives its exit status.

    Returns:
        The exit status that ``main`` gave, or exited with, on every rank.

    Raises:
        UsageError: no launcher started this process.
        HarnessError: not all ranks have come.
        BaseException: what ``main`` raises, on rank 0; the other ranks return 1.
    """
    launch = Launch.needed()
    if not sys.platform.startswith("linux"):
        raise UsageError("ranks of a launcher are looked at through /proc, which only Linux has; valid here: world simulated")
    torch.set_num_threads(1)
    before = where.natives()
    store, _, _ = next(dist.rendezvous("env://", timeout=dt.timedelta(seconds=LIMIT)))
    where.leave_out("store", where.natives() - before)  # rank 0 may have to serve it
    if launch.rank:
        return _serve(launch, knock(launch, store), store)
    company = Company(launch, store)
    _here.append(company)
    try:
        status = _status(main)
    except BaseException:
        company.finish(1)
        raise
    finally:
        _here.clear()
    company.finish(status)
    return status


def _status(main: Callable[[], int | None]) -> int:
    try:
        return main() or 0
    except SystemExit as leaving:
        if leaving.code is None or isinstance(leaving.code, int):
            return leaving.code or 0
        print(leaving.code, file=sys.stderr)
        return 1


_here: list[Company] = []


def here() -> Company:
    """The company that this process leads.

    Raises:
        UsageError: it leads none.
    """
    if not _here:
        Launch.needed()
        raise UsageError("the launcher's other ranks do not serve: call ckpt_harness.worlds.attached.together(main) on every rank, and run cases in main")
    return _here[0]


def _live(rank: LaunchedRank) -> None:
    rank_of_processes.be(rank)
    hooks.install(rank.counting_as_waiting)
    gc.freeze()  # after cases that leave circles the rank collects them, and need not look through all of torch each time


def _serve(launch: Launch, connection: Connection, store: Any) -> int:
    """What a rank other than 0 does."""
    rank = LaunchedRank(connection, store, _local(launch))
    _live(rank)
    with runtime.installed(rank):
        try:
            status = rank.attend()
        except KeyboardInterrupt:  # rank 0 has it too, and reports
            os._exit(128 + signal.SIGINT)
    if status is None:
        print(f"rank {launch.rank} on {socket.gethostname()}: rank 0 is gone", file=sys.stderr, flush=True)
        os._exit(LOST)  # a body may be stuck in native code
    # A launcher that sees one rank fail ends the others at once; these are about to exit with the same status.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    rank.rest(_EXIT_LIMIT)
    return status


def _local(launch: Launch) -> int:
    return int(os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID") or launch.rank)


class Company:
    """The launcher's ranks, from rank 0's side.

    Args:
        launch: who they are.
        store: the launcher's.

    Attributes:
        size: how many they are.
    """

    def __init__(self, launch: Launch, store: Any) -> None:
        self.size = launch.size
        self._numbers = itertools.count(1)
        self._busy = False
        self._broken = ""
        others = Door(launch, store).admit()
        ours, theirs = socket.socketpair()
        self._own = LaunchedRank(Connection(theirs.detach()), store, _local(launch))
        self._connections = [Connection(ours.detach()), *(others[rank].connection for rank in range(1, launch.size))]
        self._elsewhere = [rank for rank, other in others.items() if other.machine != clocks.machine()]
        _live(self._own)
        threading.Thread(target=self._own.attend, name="rank 0", daemon=True).start()

    @contextlib.contextmanager
    def party(self, terms: Terms) -> Iterator[Party]:
        """The first ranks, as many as wanted, in a fresh process group; afterwards they are ready for another.

        Raises:
            UsageError: there are too few, or they are busy.
            HarnessError: one is lost, or does not get ready.
        """
        if terms.size > self.size:
            raise UsageError(f"{terms.size} ranks: the launcher started {self.size}; valid: 1 to {self.size}")
        if self._busy:
            raise UsageError("the launcher's ranks are busy; while a world of them runs, its judge may run another kind of world")
        if self._broken:
            raise Lost(self._broken)
        party = Party(terms, self._connections[: terms.size], [rank for rank in self._elsewhere if rank < terms.size])
        self._busy = True
        try:
            with self._noticing_loss(), runtime.installed(self._own):
                party.form(f"ckpt-harness/case-{next(self._numbers)}")
                yield party
        finally:
            self._busy = False
            if not self._broken:  # every rank acknowledges the end of a case before the next is drawn
                with self._noticing_loss():
                    party.settle()

    @contextlib.contextmanager
    def _noticing_loss(self) -> Iterator[None]:
        try:
            yield
        except Lost as loss:
            self._broken = str(loss)
            raise

    def finish(self, status: int) -> None:
        """Tells the others to exit as this process will, and waits until nothing can change that. They exit once the kernel says that this one has."""
        for connection in self._connections[1:]:
            os.dup(connection.fileno())  # never closed but by the end of the process
        waiting = set(self._connections[1:])
        for connection in self._connections:
            with contextlib.suppress(OSError):
                messages.send(connection, Finish(status))
        deadline = time.monotonic() + _SETTLE_LIMIT
        while waiting:
            ready = wait(list(waiting), max(0.0, deadline - time.monotonic()))
            for one in ready:
                assert isinstance(one, Connection)
                with contextlib.suppress(EOFError):
                    if not isinstance(messages.receive(one), Finishing):
                        continue
                waiting.discard(one)
            if not ready:
                return


class Party:
    """The ranks of one case; the :class:`ckpt_harness.worlds.processes.crew.Ranks` that a world listens to.

    Args:
        terms: what they are for.
        connections: to each.
        elsewhere: those whose clock is another.
    """

    def __init__(self, terms: Terms, connections: list[Connection], elsewhere: list[int]) -> None:
        self.terms, self.connections = terms, connections
        self._elsewhere = elsewhere
        self._ahead: dict[int, float] = {}

    def send(self, rank: int, message: Any) -> None:
        """Sends a message to a rank; one that is dead is found so when it is listened to."""
        if isinstance(message, Job):
            message = dataclasses.replace(message, started=message.started + self._ahead.get(rank, 0.0))
        with contextlib.suppress(OSError):
            messages.send(self.connections[rank], message)

    def signal(self, rank: int, number: signal.Signals) -> None:
        """Sends none: the processes are the launcher's, and may be on another host."""

    def stopped(self, rank: int) -> bool:
        """Never known of a process that may be on another host."""
        return False

    def ended(self, rank: int) -> bool:
        """Not known either, but by the end of its connection."""
        return False

    def form(self, store: str) -> None:
        """Makes the ranks a process group, unless the terms say none."""
        file = None if self.terms.timeout is None else store
        for rank in range(self.terms.size):
            self.send(rank, Form(rank, self.terms.size, file, self.terms.timeout or 0.0))
        self._gather(Settled)
        for rank in self._elsewhere:
            samples = [clocks.ask(functools.partial(self._time, rank), time.monotonic) for _ in range(clocks.SAMPLES)]
            self._ahead[rank] = clocks.offset(samples)

    def _time(self, rank: int) -> float:
        self.send(rank, Ping())
        pong: Pong = self._gather(Pong, [rank])[rank]
        return pong.at

    def settle(self) -> None:
        """Lets the ranks go, and waits until they have acknowledged it."""
        for rank in range(self.terms.size):
            self.send(rank, Settle(0))
        self._gather(Settled)

    def recall(self, ranks: list[int]) -> dict[int, tuple[str, ...]]:
        """What the flight recorders of some ranks have of unfinished collectives."""
        for rank in ranks:
            self.send(rank, Recall())
        return {rank: answer.lines for rank, answer in self._gather(Recalled, ranks).items()}

    def _gather(self, kind: type[Any], ranks: list[int] | None = None) -> dict[int, Any]:
        """One message of a kind from each rank. Whatever else they say is about a case that is over."""
        found: dict[int, Any] = {}
        missing = {self.connections[rank]: rank for rank in (range(self.terms.size) if ranks is None else ranks)}
        deadline = time.monotonic() + _SETTLE_LIMIT
        while missing:
            ready = wait(list(missing), max(0.0, deadline - time.monotonic()))
            if not ready:
                raise Lost(f"no word for {_SETTLE_LIMIT:g} s from rank(s) {', '.join(map(str, sorted(missing.values())))} of the launcher")
            for one in ready:
                assert isinstance(one, Connection)
                message = received(missing[one], one)
                if isinstance(message, Settled) and message.why:
                    raise HarnessError(f"rank {missing[one]} of the launcher: {message.why}")
                if isinstance(message, kind):
                    found[missing.pop(one)] = message
        return found


class Lost(HarnessError):
    """A rank is gone, or does not answer; no case can run any more."""


def received(rank: int, connection: Connection) -> Any:
    """A message of a rank.

    Raises:
        Lost: it is gone; a launcher ends all ranks then.
    """
    try:
        return messages.receive(connection)
    except EOFError:
        raise lost(rank) from None


def lost(rank: int) -> Lost:
    """What is said where a rank is gone."""
    return Lost(f"rank {rank} of the launcher is lost: it has ended, or its host has; no case can run any more")
