"""Processes that share the work of one command, and how each of them is set up."""

from __future__ import annotations

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.sharedctypes import Synchronized


def workers(count: int, preload: str) -> ProcessPoolExecutor:
    """A pool whose processes are quiet, stay on a processor each, and end with the process that started them.

    Args:
        count: number of processes.
        preload: module that is imported once, by the server that they are forked from; it should import torch.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([preload])
    return ProcessPoolExecutor(count, mp_context=context, initializer=_start, initargs=(context.Value("i", 0),))


def _start(started: Synchronized[int]) -> None:
    threading.Thread(target=_end_with_the_parent, name="ckpt-harness-parent", daemon=True).start()
    with started.get_lock():
        number, started.value = started.value, started.value + 1
    stay_on_one_processor(number)
    quiet()


def _end_with_the_parent() -> None:
    """A pool's process waits for work for ever where the one that hands it out was killed: the queue stays open, since its sisters hold it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def stay_on_one_processor(number: int) -> None:
    """Binds the calling process to one of its processors.

    Simulated ranks run one at a time and hand over from thread to thread, which is half as fast again where no other processor has to wake up.

    Args:
        number: which processor, counted round those that the process may use: processes side by side take successive numbers.
    """
    if hasattr(os, "sched_setaffinity"):
        processors = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {processors[number % len(processors)]})


def quiet() -> None:
    """Silences what engines log and warn about faults that were injected on purpose, and keeps torch to one thread a process."""
    import logging
    import warnings

    import torch

    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
