"""Counts descriptors, so that a test can claim that none is left."""

from __future__ import annotations

import gc
import os
from contextlib import suppress

HOME = "/proc/self/fd"


def count() -> int:
    """The open descriptors of this process. Those into ``/proc`` do not count: the thread of ``tests/time_limit.py`` reads there at any moment."""
    gc.collect()
    open_ones = 0
    for descriptor in os.listdir(HOME):  # noqa: PTH208  (numbers are wanted, and no paths)
        with suppress(FileNotFoundError):
            open_ones += not os.readlink(f"{HOME}/{descriptor}").startswith("/proc/")  # noqa: PTH115  (a socket's link is no path)
    return open_ones
