"""What a fault needs from whatever runs the ranks: who am I, what time is it, stop here, die.

Wrappers and effects talk to :func:`current` only. The default, :class:`RealRuntime`, serves real processes under any launcher;
a world installs its own for as long as it runs (see ``ckpt_harness.worlds``).
"""

from __future__ import annotations

import contextlib
import importlib
import math
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Iterator
from concurrent.futures import Future
from typing import Any, NoReturn, Protocol

from ckpt_harness.history import History


class Runtime(Protocol):
    """The services that a world gives to the faults that act in it."""

    def rank(self) -> int:
        """The rank, within the world, that the calling thread belongs to."""

    def now(self) -> float:
        """Seconds since the world started; virtual where time is simulated."""

    def sleep(self, seconds: float) -> None:
        """Lets ``seconds`` pass on this rank only."""

    def hang(self, why: str) -> NoReturn:
        """Never returns. ``why`` names the fault, for the report of who waits where."""

    def die(self) -> NoReturn:
        """Ends this rank as SIGKILL would: nothing is unwound, flushed or told to anybody."""

    def stop(self, seconds: float, why: str) -> None:
        """Stops this rank as SIGSTOP would, until SIGCONT comes.

        Args:
            seconds: when the world sends SIGCONT; ``inf`` for never.
            why: names the fault, for the report of who waits where.
        """

    def exit(self) -> NoReturn:
        """Ends this rank as ``os._exit`` would."""

    def adopt(self, future: Future[Any]) -> None:
        """Is told that a future which somebody made by hand can be completed by ranks alone, and by nothing outside the world."""


class RealRuntime:
    """The services as a real process has them."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def rank(self) -> int:
        """The rank of the default process group, else the launcher's ``RANK``, else 0."""
        distributed = sys.modules.get("torch.distributed")
        if distributed is not None and distributed.is_available() and distributed.is_initialized():
            return int(distributed.get_rank())
        return int(os.environ.get("RANK", "0"))

    def now(self) -> float:
        """Seconds of the monotonic clock since this object was made."""
        return time.monotonic() - self._started

    def sleep(self, seconds: float) -> None:
        """Sleeps."""
        time.sleep(seconds)

    def hang(self, why: str) -> NoReturn:
        """Waits for an event that nobody sets; a signal still ends the process."""
        while True:
            threading.Event().wait()

    def die(self) -> NoReturn:
        """Sends SIGKILL to this process."""
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable: SIGKILL cannot be caught")

    def stop(self, seconds: float, why: str) -> None:
        """Sends SIGSTOP to this process; where ``seconds`` is finite, a child of it sends SIGCONT when they have passed."""
        waker = subprocess.Popen(["/bin/sh", "-c", f"sleep {seconds}; kill -CONT {os.getpid()}"]) if math.isfinite(seconds) else None
        os.kill(os.getpid(), signal.SIGSTOP)
        if waker is not None:
            waker.wait()

    def exit(self) -> NoReturn:
        """Ends the process with status 1."""
        os._exit(1)

    def adopt(self, future: Future[Any]) -> None:
        """Does nothing: a real wait is what it is."""


def known_world_size() -> int | None:
    """The size of the default process group, else the launcher's ``WORLD_SIZE``, else None: nobody has said."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return int(distributed.get_world_size())
    return int(os.environ["WORLD_SIZE"]) if "WORLD_SIZE" in os.environ else None


_installed: list[Runtime] = [RealRuntime()]

JOIN = "CKPT_HARNESS_JOIN"
"""Environment variable with ``module:function``: how a process that a rank starts joins the rank's world."""


def joined() -> History | None:
    """Makes this process part of the world of the rank that started it, if there is one and it is not yet.

    Returns:
        What records for it; None if there is no such world.
    """
    if JOIN not in os.environ or type(_installed[-1]) is not RealRuntime:
        return _joined[-1] if _joined else None
    module, _, name = os.environ[JOIN].partition(":")
    _joined.append(getattr(importlib.import_module(module), name)())
    return _joined[-1]


_joined: list[History] = []


_servants: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


def serves(thread: threading.Thread) -> None:
    """Says of a thread that it works for whoever asks and outlives them, as the loop of a client library does: it is nobody's leak, and nobody's hope."""
    _servants.add(thread)


def servants() -> frozenset[threading.Thread]:
    """The threads of which that was said, and which have not ended."""
    return frozenset(thread for thread in _servants if thread.is_alive())


def install_for_good(runtime: Runtime) -> None:
    """Makes ``runtime`` the current one for the life of the process."""
    _installed.append(runtime)


def current() -> Runtime:
    """The runtime of the world that runs now, or the real one."""
    return _installed[-1]


@contextlib.contextmanager
def installed(runtime: Runtime) -> Iterator[None]:
    """Makes ``runtime`` the current one. Worlds may nest: the judge of one may run another."""
    _installed.append(runtime)
    try:
        yield
    finally:
        _installed.remove(runtime)
