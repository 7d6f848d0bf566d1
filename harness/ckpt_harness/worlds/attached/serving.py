"""All ranks of a launcher: rank 0 runs the cases, and the other ranks serve rank 0 until there are no more cases."""

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
from ckpt_harness.worlds.attached.messages import Finish, Finishing, Ping, Pong, Recall, Recalled
from ckpt_harness.worlds.attached.rank import LaunchedRank
from ckpt_harness.worlds.attached.rendezvous import LIMIT, Door, knock
from ckpt_harness.worlds.launcher import Launch
from ckpt_harness.worlds.processes import hooks, messages, thread_watch
from ckpt_harness.worlds.processes import rank as rank_of_processes
from ckpt_harness.worlds.processes.messages import Form, Job, Settle, Settled
from ckpt_harness.worlds.processes.warm_ranks import Terms

LOST = 3
"""Exit status of the other ranks if rank 0 ends unexpectedly; there is no verdict."""
_SETTLE_LIMIT = 300.0
"""Seconds within which a rank must answer, join a group, or get ready for another case. Generous, since a busy host cannot be replaced."""
_EXIT_LIMIT = 60.0
"""Seconds that rank 0 may take from its last message to its exit."""


def together(main: Callable[[], int | None]) -> int:
    """Runs ``main`` on rank 0, while the other ranks serve the cases that ``main`` runs on an :class:`ckpt_harness.worlds.attached.AttachedWorld`.

    Every rank of the launcher calls this function once. When it returns on a rank other than 0, rank 0 has exited or is about to exit.

    Args:
        main: called on rank 0 only; returns the exit status.

    Returns:
        On every rank, the exit status that ``main`` returned or exited with.

    Raises:
        UsageError: no launcher started this process.
        HarnessError: not all ranks connected.
        BaseException: on rank 0, what ``main`` raises; the other ranks then return 1.
    """
    launch = Launch.needed()
    if not sys.platform.startswith("linux"):
        raise UsageError("world 'attached' needs Linux (/proc); valid here: world 'simulated'")
    torch.set_num_threads(1)
    before = thread_watch.natives()
    store, _, _ = next(dist.rendezvous("env://", timeout=dt.timedelta(seconds=LIMIT)))
    thread_watch.leave_out("store", thread_watch.natives() - before)  # on rank 0, these threads may serve the store
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
    """Returns the launcher's ranks, on rank 0 inside :func:`together`.

    Raises:
        UsageError: this process is not rank 0 inside :func:`together`.
    """
    if not _here:
        Launch.needed()
        raise UsageError("world 'attached' runs inside ckpt_harness.worlds.attached.together(main): call it on every rank, and run cases in main")
    return _here[0]


def _live(rank: LaunchedRank) -> None:
    rank_of_processes.be(rank)
    hooks.install(rank.counting_as_waiting)
    gc.freeze()  # so that later garbage collections skip the objects of torch


def _serve(launch: Launch, connection: Connection, store: Any) -> int:
    """The main function of a rank other than 0."""
    rank = LaunchedRank(connection, store, _local(launch))
    _live(rank)
    with runtime.installed(rank):
        try:
            status = rank.attend()
        except KeyboardInterrupt:  # rank 0 is interrupted too, and reports
            os._exit(128 + signal.SIGINT)
    if status is None:
        print(f"rank {launch.rank} on {socket.gethostname()}: rank 0 has ended unexpectedly", file=sys.stderr, flush=True)
        os._exit(LOST)  # not sys.exit: a body may be stuck in native code
    # If rank 0 exits with an error, the launcher ends the other ranks at once. They ignore that, since they are about to exit with the same status.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    rank.rest(_EXIT_LIMIT)
    return status


def _local(launch: Launch) -> int:
    return int(os.environ.get("LOCAL_RANK") or os.environ.get("SLURM_LOCALID") or launch.rank)


class Company:
    """The launcher's ranks, seen from rank 0.

    Args:
        launch: the launcher's settings.
        store: the launcher's store.

    Attributes:
        size: the number of ranks.
    """

    def __init__(self, launch: Launch, store: Any) -> None:
        self.size = launch.size
        self._numbers = itertools.count(1)
        self._busy = False
        self._broken = ""
        others = Door(launch, store).admit()
        near, far = socket.socketpair()
        self._own = LaunchedRank(Connection(far.detach()), store, _local(launch))
        self._connections = [Connection(near.detach()), *(others[rank].connection for rank in range(1, launch.size))]
        self._elsewhere = [rank for rank, other in others.items() if other.machine != clocks.machine()]
        _live(self._own)
        threading.Thread(target=self._own.attend, name="rank 0", daemon=True).start()

    @contextlib.contextmanager
    def party(self, terms: Terms) -> Iterator[Party]:
        """Forms a fresh process group of the first ranks for a ``with`` block; afterwards, makes them ready for another case.

        Args:
            terms: the number of ranks, and the timeout of the group.

        Raises:
            UsageError: there are too few ranks, or they are busy.
            HarnessError: a rank has ended, or does not get ready.
        """
        if terms.size > self.size:
            raise UsageError(f"{terms.size} ranks, but the launcher started {self.size}; valid: 1 to {self.size}")
        if self._busy:
            raise UsageError("the launcher's ranks are busy with another world; valid in its judge: another kind of world")
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
            if not self._broken:  # every rank acknowledges the end of a case before the next case is drawn
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
        """Makes the other ranks exit with this process's status, and waits for their acknowledgement. They exit after this process has exited.

        Args:
            status: the exit status.
        """
        for connection in self._connections[1:]:
            os.dup(connection.fileno())  # so the connection closes only when this process ends
        waiting = set(self._connections[1:])
        for connection in self._connections:
            with contextlib.suppress(OSError):
                messages.send(connection, Finish(status))
        deadline = time.monotonic() + _SETTLE_LIMIT
        while waiting:
            ready = wait(list(waiting), max(0.0, deadline - time.monotonic()))
            for answered in ready:
                assert isinstance(answered, Connection)
                with contextlib.suppress(EOFError):
                    if not isinstance(messages.receive(answered), Finishing):
                        continue
                waiting.discard(answered)
            if not ready:
                return


class Party:
    """The ranks of a case; an implementation of :class:`ckpt_harness.worlds.processes.warm_ranks.Ranks`.

    Args:
        terms: size and timeout of the process group.
        connections: the connections to the ranks, in rank order.
        elsewhere: the ranks that do not share the clock of rank 0.
    """

    def __init__(self, terms: Terms, connections: list[Connection], elsewhere: list[int]) -> None:
        self.terms, self.connections = terms, connections
        self._elsewhere = elsewhere
        self._ahead: dict[int, float] = {}

    def send(self, rank: int, message: Any) -> None:
        """Sends a message to a rank. The death of a rank is noticed when its messages are received, not here."""
        if isinstance(message, Job):
            message = dataclasses.replace(message, started=message.started + self._ahead.get(rank, 0.0))
        with contextlib.suppress(OSError):
            messages.send(self.connections[rank], message)

    def signal(self, rank: int, number: signal.Signals) -> None:
        """Does nothing: the processes belong to the launcher, and may be on another host."""

    def stopped(self, rank: int) -> bool:
        """Returns False: this is unknown for a process that may be on another host."""
        return False

    def ended(self, rank: int) -> bool:
        """Returns False: the end of a process is noticed by its closed connection only."""
        return False

    def form(self, store: str) -> None:
        """Forms the process group, if the terms ask for a group, and compares clocks.

        Args:
            store: prefix of the group's keys in the launcher's store.
        """
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
        """Ends the case on all ranks, and waits for their acknowledgement."""
        for rank in range(self.terms.size):
            self.send(rank, Settle(0))
        self._gather(Settled)

    def recall(self, ranks: list[int]) -> dict[int, tuple[str, ...]]:
        """Returns the unfinished collectives in the flight recorders of some ranks: rank -> lines."""
        for rank in ranks:
            self.send(rank, Recall())
        return {rank: answer.lines for rank, answer in self._gather(Recalled, ranks).items()}

    def _gather(self, kind: type[Any], ranks: list[int] | None = None) -> dict[int, Any]:
        """Receives a message of a kind from each rank. Other messages belong to a finished case, and are dropped."""
        answers: dict[int, Any] = {}
        missing = {self.connections[rank]: rank for rank in (range(self.terms.size) if ranks is None else ranks)}
        deadline = time.monotonic() + _SETTLE_LIMIT
        while missing:
            ready = wait(list(missing), max(0.0, deadline - time.monotonic()))
            if not ready:
                silent = ", ".join(map(str, sorted(missing.values())))
                raise Lost(f"ranks of the launcher did not answer for {_SETTLE_LIMIT:g} s: {silent}")
            for connection in ready:
                assert isinstance(connection, Connection)
                message = received(missing[connection], connection)
                if isinstance(message, Settled) and message.why:
                    raise HarnessError(f"rank {missing[connection]} of the launcher: {message.why}")
                if isinstance(message, kind):
                    answers[missing.pop(connection)] = message
        return answers


class Lost(HarnessError):
    """A rank has ended, or does not answer. No case can run any more."""


def received(rank: int, connection: Connection) -> Any:
    """Receives a message of a rank.

    Raises:
        Lost: the rank has ended. The launcher then ends all ranks.
    """
    try:
        return messages.receive(connection)
    except EOFError:
        raise lost(rank) from None


def lost(rank: int) -> Lost:
    """Returns the error for a rank that has ended."""
    return Lost(f"rank {rank} of the launcher is lost: it has ended, or its host has failed; no case can run any more")
