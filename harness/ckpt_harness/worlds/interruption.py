"""Ctrl-C during a campaign: what is under way ends at a safe point, and the summary of what ran is printed.

An interruption in the middle of a case would leave simulated ranks in a state that cannot be unwound, so it waits for the end of the case; not for long.
While the process only waits for other processes, it is at a safe point.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterator
from types import FrameType

GRACE = 1.0
"""Seconds that a case may take to end after Ctrl-C."""


class Interruption:
    """Whether the user has interrupted the campaign."""

    def __init__(self) -> None:
        self.wanted = False
        self._at_once = False

    def check(self) -> None:
        """To be called between cases.

        Raises:
            KeyboardInterrupt: the user has interrupted the campaign.
        """
        if self.wanted:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def safe(self) -> Iterator[None]:
        """Inside the ``with`` block, Ctrl-C interrupts at once; so does one that came before."""
        self.check()
        self._at_once = True
        try:
            yield
        finally:
            self._at_once = False

    def _interrupted(self, _signal: int, _frame: FrameType | None) -> None:
        if self.wanted:
            raise KeyboardInterrupt  # the second Ctrl-C, or the end of the grace
        self.wanted = True
        if self._at_once:
            raise KeyboardInterrupt
        signal.setitimer(signal.ITIMER_REAL, GRACE)


_under_way: list[Interruption] = []
"""The interruption of each ``interruptible`` block of the main thread, the innermost last."""


@contextlib.contextmanager
def only_waiting() -> Iterator[None]:
    """For a wait in which nothing goes on in this process: inside the ``with`` block, Ctrl-C is not deferred.

    Changes nothing outside of :func:`interruptible`, and in other threads than the main thread.

    Raises:
        KeyboardInterrupt: the user has interrupted the campaign, in the block or before.
    """
    if not _under_way or threading.current_thread() is not threading.main_thread():
        yield
        return
    with _under_way[-1].safe():
        yield


@contextlib.contextmanager
def interruptible() -> Iterator[Interruption]:
    """Defers Ctrl-C to the next safe point, for at most :data:`GRACE` seconds. Elsewhere than in a main thread, changes nothing.

    Any error that comes after Ctrl-C is a consequence of the interruption.

    Yields:
        What says whether the user has interrupted.

    Raises:
        KeyboardInterrupt: the user has interrupted the campaign.
    """
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "setitimer"):
        yield interruption
        return
    before = {number: signal.signal(number, interruption._interrupted) for number in (signal.SIGINT, signal.SIGALRM)}
    _under_way.append(interruption)
    try:
        yield interruption
    except Exception as error:
        if interruption.wanted:
            raise KeyboardInterrupt from error
        raise
    finally:
        _under_way.pop()
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before.items():
            signal.signal(number, handler)
