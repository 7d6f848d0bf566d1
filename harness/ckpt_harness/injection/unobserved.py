"""Failed async saves that nobody noticed: whether a program looked at the future that ``async_save`` returned.

A trainer that drops the future of a failed async save goes on as if the checkpoint existed. ``inject`` and ``CKPT_HARNESS_PLAN`` say so, in one line.
"""

from __future__ import annotations

import atexit
import functools
import sys
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from ckpt_harness import runtime
from ckpt_harness.errors import quoted
from ckpt_harness.history import ErrorRecord
from ckpt_harness.injection.injector import Injector

_LOOKS = ("result", "exception", "add_done_callback")
"""The methods of a future by which a program learns of a failure."""
_MOST = 3
"""Saves and faults that the line names; the rest is counted."""


class ReturnedFuture:
    """What is known of a future that ``async_save`` returned. Keeps neither the future nor its error alive.

    Args:
        future: the future, before the caller has it.

    Attributes:
        looked_at: whether the caller called a method that shows a failure.
        done: whether the save has ended.
        error: the error of the save, or None.
    """

    def __init__(self, future: Future[Any]) -> None:
        self.looked_at = False
        self.done = False
        self.error: ErrorRecord | None = None
        self._future = weakref.ref(future)
        future.add_done_callback(self._end)
        for name in _LOOKS:
            setattr(future, name, self._noticing(getattr(type(future), name)))

    def _end(self, future: Future[Any]) -> None:
        error = None if future.cancelled() else type(future).exception(future)
        self.error = None if error is None else ErrorRecord.of(error)
        self.done = True

    def settle(self) -> None:
        """Learns the end of a save that has just ended: a future is done a moment before its callbacks are called."""
        future = self._future()
        if future is not None and future.done():
            self._end(future)

    def _noticing(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def notice(*args: Any, **kwargs: Any) -> Any:
            self.looked_at = True
            return method(self._future(), *args, **kwargs)

        return notice


class ReturnedFutures:
    """The futures of the async saves of a process under one injector.

    Args:
        faults: the injector.
    """

    def __init__(self, faults: Injector) -> None:
        self._faults = faults
        self._futures: list[tuple[int, str, ReturnedFuture]] = []

    def add(self, operation: str, future: ReturnedFuture) -> None:
        """Notes the future of an operation of the calling rank. Forgets the saves that succeeded or were looked at."""
        self._futures = [known for known in self._futures if not known[2].looked_at and (not known[2].done or known[2].error is not None)]
        self._futures.append((self._faults.rank(), operation, future))

    def unnoticed(self) -> list[str]:
        """The operations that have failed, and whose future nobody has looked at."""
        return [operation for _, operation, _ in self._failed()]

    def _failed(self) -> list[tuple[int, str, ReturnedFuture]]:
        for _, _, future in self._futures:
            future.settle()
        return [known for known in self._futures if known[2].error is not None and not known[2].looked_at]

    def report(self) -> None:
        """Prints the failed saves that nobody has looked at in one line on stderr, once."""
        failed = self._failed()
        for _, _, future in failed:
            future.looked_at = True  # by whoever reads the line: blocks may nest, and the futures are reported once
        if failed:
            print(_line(failed, self._faults), file=sys.stderr)

    def report_finally(self) -> None:
        """Does :meth:`report` now; and once more at the end of the process, where a save has not ended."""
        self.report()
        if not all(future.done for _, _, future in self._futures):
            atexit.register(self.report)


def _line(failed: list[tuple[int, str, ReturnedFuture]], faults: Injector) -> str:
    operations = list(dict.fromkeys(operation for _, operation, _ in failed))
    ranks = ", ".join(map(str, sorted({rank for rank, _, _ in failed})))
    struck = list(dict.fromkeys(firing.fault for firing in faults.fired if firing.operation in operations))
    why = f"{_some(struck)} struck" if struck else f"it reports {quoted(str(failed[0][2].error), limit=100)}"
    futures = "the future" if len(operations) == 1 else "the futures"
    return f"ckpt-harness: rank {ranks}: {_some(operations)} failed ({why}), and nobody looked at {futures} that async_save returned"


def _some(names: list[str]) -> str:
    more = len(names) - _MOST
    return ", ".join(names[:_MOST]) + (f" and {more} more" if more > 0 else "")


def watched(faults: Injector) -> ReturnedFutures | None:
    """Lets an injector note the futures of async saves; None in a world of the harness, which examines futures itself."""
    if type(runtime.current()) is not runtime.RealRuntime:
        return None
    faults.returned = ReturnedFutures(faults)
    return faults.returned
