"""The pool of processes on this machine: the default of every command that takes ``--jobs``."""

from __future__ import annotations

import contextlib
import functools
import itertools
import multiprocessing
import multiprocessing.forkserver
import os
import pickle
import signal
import tempfile
import threading
from collections.abc import Generator, Iterable, Iterator
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerContext

from ckpt_harness.campaigns.pools.base import HERE, Item, Result, Work, split
from ckpt_harness.campaigns.pools.outcomes import results
from ckpt_harness.campaigns.pools.serving import serve
from ckpt_harness.campaigns.pools.worker import Worker, ending, ready
from ckpt_harness.campaigns.workers import quiet, stay_on_one_processor
from ckpt_harness.cases import printed

_PATIENCE = 30.0
"""Seconds in which a process ends by itself once there is no more work."""


class LocalPool:
    """Processes of this machine. Each is quiet, stays on one processor, and ends with the process that started it.

    The processes keep their temporary files in one directory, which is removed at the end. After an error, such as an interruption, they are killed, and so
    is the server that forks them: it may still be importing torch.

    Args:
        jobs: number of processes. With 1, and with a few items, this process does the work itself.
    """

    def __init__(self, jobs: int) -> None:
        self._jobs = jobs

    def run(self, work: Work[Item, Result], items: Iterable[Item]) -> Generator[Result, None, None]:
        """Works on items; see :meth:`ckpt_harness.campaigns.pools.base.Pool.run`."""
        rest = iter(items)
        first = list(itertools.islice(rest, work.few + 1))
        if self._jobs == 1 or len(first) <= work.few:
            yield from HERE.run(work, itertools.chain(first, rest))
            return
        with _workers(self._jobs, type(work).__module__) as workers:
            yield from _shared(work, itertools.chain(first, rest), workers)


def _shared(work: Work[Item, Result], items: Iterable[Item], idle: list[Worker]) -> Iterator[Result]:
    """Has workers share the items."""
    chunks = split(items)
    pickled = pickle.dumps(work)
    given: dict[Worker, list[Item]] = {}
    while True:
        while idle and (chunk := next(chunks, None)):
            worker = idle.pop()
            worker.give(pickled, [pickle.dumps(item) for item in chunk])
            given[worker] = chunk
        if not given:
            return
        for worker in ready(given):
            yield from results(work, given[worker], worker.hear())
            if not worker.busy:
                del given[worker]
                idle.append(worker)


@contextlib.contextmanager
def _workers(count: int, preload: str) -> Iterator[list[Worker]]:
    """Workers whose processes are forked from a server that has imported a module."""
    context = multiprocessing.get_context("forkserver")
    with tempfile.TemporaryDirectory(prefix="ckpt-harness-", ignore_cleanup_errors=True) as folder:
        workers = [Worker(functools.partial(_Process, context, number, folder)) for number in range(count)]
        try:
            _start_server(preload)
            yield list(workers)
            for worker in workers:
                worker.close()
        except BaseException:
            _kill_server()
            for worker in workers:
                worker.kill()
            raise


@contextlib.contextmanager
def server_started(preload: str) -> Iterator[None]:
    """Starts the server that forks the processes of the next pool, and does not wait for it. After an error in the ``with`` block it is killed.

    The server imports torch, which takes seconds: if it starts early, this process can import torch at the same time.

    Args:
        preload: the module of the pool's work.
    """
    try:
        _start_server(preload)
        yield
    except BaseException:
        _kill_server()
        raise


def _start_server(preload: str) -> None:
    multiprocessing.get_context("forkserver").set_forkserver_preload([preload])
    with _unheard(signal.SIGINT):
        multiprocessing.forkserver.ensure_running()


class _Process:
    """A process that the server of multiprocessing forks; a :class:`ckpt_harness.campaigns.pools.worker.WorkerProcess`."""

    def __init__(self, context: ForkServerContext, number: int, folder: str) -> None:
        self.connection, theirs = context.Pipe()
        with theirs:
            self._process = context.Process(target=_live, args=(theirs, number, folder))
            self._process.start()
        self.sentinel = self._process.sentinel

    def kill(self) -> str:
        self.connection.close()
        self._process.kill()
        self._process.join(_PATIENCE)
        return ending(self._process.exitcode or 0)

    def close(self) -> None:
        self.connection.close()
        self._process.join(_PATIENCE)
        self.kill()


@contextlib.contextmanager
def _unheard(number: signal.Signals) -> Iterator[None]:
    """Inside the ``with`` block, a signal does not reach this thread and the processes that it starts. It reaches this thread at the end of the block.

    Ctrl-C reaches all processes of a terminal, and a server that imports torch would answer it with a traceback.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {number})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _kill_server() -> None:
    """Kills multiprocessing's server, whose process id is in no public place; the next pool starts another."""
    pid = getattr(multiprocessing.forkserver, "_forkserver")._forkserver_pid  # noqa: B009  (mypy knows no such name)
    if pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


# -- in a process of the pool


def _live(connection: Connection, number: int, folder: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the process that started the pool ends the others
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # inherited by what this process starts
    tempfile.tempdir = folder
    printed.catch_for_good()
    threading.Thread(target=_end_with_the_parent, name="ckpt-harness-parent", daemon=True).start()
    stay_on_one_processor(number)
    quiet()
    serve(connection)


def _end_with_the_parent() -> None:
    """Ends a process of the pool once its parent is gone, whatever the process works on."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)
