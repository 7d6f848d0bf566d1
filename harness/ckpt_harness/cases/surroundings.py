"""What a process needs while ranks of a case run in it."""

from __future__ import annotations

import contextlib
import logging
import re
import sys
import threading
import warnings
from collections.abc import Iterable, Iterator
from types import TracebackType

from ckpt_harness.cases.async_saves import engine_stagers_fail
from ckpt_harness.cases.binding import BoundCase
from ckpt_harness.history import History
from ckpt_harness.injection.injector import Injector
from ckpt_harness.injection.object_store import endpoints
from ckpt_harness.runtime import current
from ckpt_harness.worlds.lost_errors import noted


def injector_of(bound: BoundCase, history: History) -> Injector:
    """Returns what injects the faults of a case.

    Args:
        bound: the case.
        history: records what happens.
    """
    case = bound.case
    return Injector(case.plan, coordinators=bound.coordinators, history=history, watch_disk=case.watches_disk, watch_network=case.watches_network)


@contextlib.contextmanager
def surroundings(injector: Injector, ranks: Iterable[int]) -> Iterator[None]:
    """Makes faults act in what the engine makes for itself, and records errors that escape from threads.

    Args:
        injector: injects the faults into the engine's own stagers and into requests to object stores.
        ranks: the ranks that run in this process.
    """
    before = threading.excepthook

    def end_of_thread(escaped: threading.ExceptHookArgs) -> None:
        # A thread may end by SystemExit on purpose, and Python shows nothing.
        kind = "lost" if escaped.exc_type is SystemExit else "escaped"
        injector.note(kind, f"{_name_of(escaped.thread)}: {escaped.exc_type.__name__}: {escaped.exc_value}")
        current().lost_error()

    def lost(where: str, error: BaseException) -> None:
        message = next(iter(str(error).splitlines()), "")  # a CheckpointException quotes all tracebacks
        injector.note("lost", f"{_name_of(threading.current_thread())}, {where}: {type(error).__name__}: {message}")
        current().lost_error()

    threading.excepthook = end_of_thread
    try:
        with engine_stagers_fail(), endpoints(injector, ranks), noted(lost):
            yield
    finally:
        threading.excepthook = before


def _name_of(thread: threading.Thread | None) -> str:
    """The name of a thread without its number: Python counts all threads that the process ever had."""
    if thread is None:
        return "a thread"
    name = re.sub("Thread-[0-9]+", "Thread", thread.name)
    return f"thread {name!r}"


@contextlib.contextmanager
def silenced() -> Iterator[None]:
    """Silences logs and warnings of an engine about faults that were injected on purpose, and what Python prints about damaged pickles."""
    before, hook = logging.root.manager.disable, sys.excepthook

    def print_unless_of_a_bytearray(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
        # A damaged pickle may ask for a bytearray of 2**62 bytes. Python prints this error while it raises a MemoryError.
        if not (kind is SystemError and str(error).startswith("deallocated bytearray object")):
            hook(kind, error, trace)

    logging.disable(logging.CRITICAL)
    sys.excepthook = print_unless_of_a_bytearray
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        sys.excepthook = hook
        logging.disable(before)
