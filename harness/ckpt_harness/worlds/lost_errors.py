"""Errors that reach nobody although no thread shows them: a thread pool or a future logs such an error, and drops it.

A thread of a pool that ends with an error, and a callback that fails, leave futures behind that nobody completes. Who waits for them waits for ever, and
would never learn why.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from concurrent.futures import thread as pools
from typing import Any


@contextlib.contextmanager
def noted(note: Callable[[str, BaseException], None]) -> Iterator[None]:
    """Calls ``note`` on the thread that loses an error, for as long as the context lasts.

    Args:
        note: receives where the error was lost, in words, and the error.

    Example:
        >>> lost = []
        >>> with noted(lambda where, error: lost.append((where, error))):
        ...     future = Future()
        ...     future.add_done_callback(lambda done: 1 / 0)
        ...     future.set_result(None)
        >>> lost
        [('callback of a future', ZeroDivisionError('division by zero'))]
    """
    item: Any = pools._WorkItem  # the pool catches what a work item raises, and has no hook for it
    kind: Any = Future
    run, add = item.run, kind.add_done_callback

    def run_noting(self: Any, *args: Any) -> None:
        try:
            run(self, *args)
        except BaseException as error:
            note("end of a pool's thread", error)
            raise

    def add_noting(self: Any, function: Callable[[Any], object]) -> None:
        def call(future: Any) -> None:
            try:
                function(future)
            except Exception as error:  # any other error ends the thread
                note("callback of a future", error)
                raise

        add(self, call)

    item.run, kind.add_done_callback = run_noting, add_noting
    try:
        yield
    finally:
        item.run, kind.add_done_callback = run, add
