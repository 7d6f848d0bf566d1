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
from ckpt_harness.injection.injector import Injector
from ckpt_harness.injection.object_store import endpoints


@contextlib.contextmanager
def surroundings(injector: Injector, ranks: Iterable[int]) -> Iterator[None]:
    """Makes faults act in what the engine makes for itself, and records errors that escape from threads.

    Args:
        injector: injects the faults into the engine's own stagers and into requests to object stores.
        ranks: the ranks that run in this process.
    """
    before = threading.excepthook
    threading.excepthook = lambda escaped: injector.note("escaped", f"{_thread_name(escaped)}: {escaped.exc_type.__name__}: {escaped.exc_value}")
    try:
        with engine_stagers_fail(), endpoints(injector, ranks):
            yield
    finally:
        threading.excepthook = before


def _thread_name(escaped: threading.ExceptHookArgs) -> str:
    """The name of a thread without its number: Python counts all threads that the process ever had."""
    if escaped.thread is None:
        return "a thread"
    name = re.sub("Thread-[0-9]+", "Thread", escaped.thread.name)
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
