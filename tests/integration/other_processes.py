"""What tests ask of processes that are not their own children, and cannot tell them anything."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path


def until(what: Callable[[], object], limit: float) -> None:
    """Waits until something is so, at most so many seconds."""
    end = time.monotonic() + limit
    while not what():
        assert time.monotonic() < end
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process runs."""
    try:
        return Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False
