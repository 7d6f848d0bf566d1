"""Processes that share the work of one command, and how each process is set up."""

from __future__ import annotations

import contextlib
import multiprocessing
import multiprocessing.forkserver
import os
import signal
import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

from ckpt_harness.cases import printed

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized


@contextlib.contextmanager
def workers(count: int, preload: str) -> Iterator[ProcessPoolExecutor]:
    """A pool of processes. Each is quiet, stays on one processor, and ends with the process that started the pool.

    The processes keep their temporary files in one directory, which is removed at the end. After an error, such as an interruption, they are killed, and so
    is the server that forks them: it may still be importing torch.

    Args:
        count: number of processes.
        preload: module that the server which forks the processes imports once; it should import torch.

    Yields:
        The pool.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    others = set(multiprocessing.active_children())
    with tempfile.TemporaryDirectory(prefix="ckpt-harness-", ignore_cleanup_errors=True) as folder:
        pool = ProcessPoolExecutor(count, mp_context=context, initializer=_start, initargs=(context.Value("i", 0), folder))
        try:
            with _unheard(signal.SIGINT):
                multiprocessing.forkserver.ensure_running()
            yield pool
        except BaseException:
            _kill_server()
            for process in set(multiprocessing.active_children()) - others:
                process.kill()
            raise
        finally:
            pool.shutdown(cancel_futures=True)


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


def _start(started: Synchronized[int], folder: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes of a terminal; the one that started the pool ends the others
    signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})  # inherited by what this process starts
    tempfile.tempdir = folder
    printed.catch_for_good()
    threading.Thread(target=_end_with_the_parent, name="ckpt-harness-parent", daemon=True).start()
    with started.get_lock():
        number, started.value = started.value, started.value + 1
    stay_on_one_processor(number)
    quiet()


def _end_with_the_parent() -> None:
    """Ends a process of the pool once its parent is gone. It would wait for work for ever: its sisters keep the queue open."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def stay_on_one_processor(number: int) -> None:
    """Binds the calling process to one of its processors.

    Simulated ranks run one at a time and hand over from thread to thread. That is half as fast again if no other processor has to wake up.

    Args:
        number: which of the processors that the process may use, counted in a circle. Processes side by side take successive numbers.
    """
    if hasattr(os, "sched_setaffinity"):
        processors = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {processors[number % len(processors)]})


def quiet() -> None:
    """Silences the logs and warnings of engines about injected faults, and keeps torch to one thread in this process."""
    import logging
    import warnings

    import torch

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
