"""All ranks of a launcher: rank 0 runs the cases, and the other ranks serve rank 0 until there are no more cases."""

from __future__ import annotations

import contextlib
import datetime as dt
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
from ckpt_harness.errors import UsageError
from ckpt_harness.worlds.attached import clocks
from ckpt_harness.worlds.attached.messages import Finish, Finishing
from ckpt_harness.worlds.attached.party import SETTLE_LIMIT, Lost, Party
from ckpt_harness.worlds.attached.rank import LaunchedRank
from ckpt_harness.worlds.attached.rendezvous import LIMIT, Door, knock
from ckpt_harness.worlds.launcher import Launch
from ckpt_harness.worlds.processes import hooks, messages, thread_watch
from ckpt_harness.worlds.processes import rank as rank_of_processes
from ckpt_harness.worlds.processes.warm_ranks import Terms

LOST = 3
"""Exit status of the other ranks if rank 0 ends unexpectedly; there is no verdict."""
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
        deadline = time.monotonic() + SETTLE_LIMIT
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
