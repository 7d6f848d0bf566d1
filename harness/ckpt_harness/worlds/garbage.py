"""Garbage collection in ranks: after the bodies have ended, and never before.

Finalizers have effects: for example, a finalizer may close a stream that a failed save lost, and closing publishes the file after all. An automatic
collection would run finalizers at any moment, and in simulated worlds on the thread of any rank, so results would not be reproducible. Therefore
reference cycles are collected when the bodies have ended, before the judge looks at the storage: any damage that a finalizer can do then happens every
time. Objects of simulated ranks that hang or died are collected later, before the world returns; in a real process they would never be finalized.

A body that goes on for long, such as a job of a thousand operations, has its garbage collected between the operations, every fifty operations.

Not modelled: a collection while an engine works. A body can call ``gc.collect()`` itself.
"""

from __future__ import annotations

import contextlib
import gc
import sys
from collections.abc import Iterator


@contextlib.contextmanager
def kept() -> Iterator[None]:
    """Switches automatic collection off inside the ``with`` block."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        (gc.enable if enabled else gc.disable)()


@contextlib.contextmanager
def left_alone() -> Iterator[None]:
    """Inside the ``with`` block nothing is collected: the ranks of an outer world are still at work, and their finalizers are not due."""
    _left_alone.append(True)
    try:
        yield
    finally:
        _left_alone.pop()


_left_alone: list[bool] = []


def collect() -> None:
    """Collects the objects that the bodies created.

    These are the youngest generation, since nothing was collected before. Older generations would take long.
    """
    if not _left_alone:
        gc.collect(0)


def collect_at_rest() -> None:
    """Collects what bodies have dropped that go on for long, at a moment when none of them does anything. Called seldom, and always at the same moments."""
    gc.collect(0)


def collect_again() -> None:
    """Collects the objects that were still in use at :func:`collect`.

    They are one generation older now. Since Python 3.14, only a full collection finds them.
    """
    if not _left_alone:
        gc.collect(1 if sys.version_info < (3, 14) else 2)
