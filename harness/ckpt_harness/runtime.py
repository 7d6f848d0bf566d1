"""What a fault needs from the world that runs the ranks: the calling rank, the time, and ways to stop or end the rank.

Wrappers and effects use :func:`current` only. The default, :class:`RealRuntime`, serves real processes under any launcher. A world installs its own
runtime while it runs (see ``ckpt_harness.worlds``).
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

from ckpt_harness.errors import UsageError, quoted
from ckpt_harness.history import History


class Runtime(Protocol):
    """The services that a world offers to faults."""

    def rank(self) -> int:
        """The rank of the calling thread, in the world."""

    def now(self) -> float:
        """Seconds since the world started; virtual where time is simulated."""

    def sleep(self, seconds: float) -> None:
        """Lets ``seconds`` of the world's time pass on this rank only."""

    def hang(self, why: str) -> NoReturn:
        """Never returns.

        Args:
            why: the fault, for the report of hangs.
        """

    def die(self) -> NoReturn:
        """Ends this rank as SIGKILL does: no ``finally`` block runs, no buffer is flushed, no other rank is notified."""

    def stop(self, seconds: float, why: str) -> None:
        """Stops this rank as SIGSTOP does, until SIGCONT comes.

        Args:
            seconds: time until the world sends SIGCONT; ``inf`` for never.
            why: the fault, for the report of hangs.
        """

    def exit(self) -> NoReturn:
        """Ends this rank as ``os._exit`` does."""

    def adopt(self, future: Future[Any]) -> None:
        """Declares that only ranks of the world can complete ``future``, and nothing outside of it."""

    def expect(self, future: Any) -> None:
        """Declares that an operation of the calling rank completes ``future``: while a thread of that rank waits for the world, so does the future.

        Args:
            future: a future of ``concurrent.futures`` or of torch; one of another type is left alone.
        """

    def lost_error(self) -> None:
        """Notes that an error on the calling thread reached nobody, so that what the thread had to complete is never completed."""


class RealRuntime:
    """The services of a real process."""

    def __init__(self) -> None:
        self._started = time.monotonic()

    def rank(self) -> int:
        """The rank that a plan means by ``@1``: that of the default process group, else ``RANK``, else 0.

        A process that a launcher numbered keeps its number while it has no process group: before the group is formed, after the group is destroyed, or
        where the program never forms one. The engine takes itself for rank 0 then.
        """
        group = _default_group()
        if group is not None:
            return int(group.get_rank())
        return launched_rank() or 0

    def now(self) -> float:
        """Seconds of the monotonic clock since this object was created."""
        return time.monotonic() - self._started

    def sleep(self, seconds: float) -> None:
        """Sleeps in real time."""
        time.sleep(seconds)

    def hang(self, why: str) -> NoReturn:
        """Waits for an event that is never set; a signal still ends the process."""
        while True:
            threading.Event().wait()

    def die(self) -> NoReturn:
        """Sends SIGKILL to this process."""
        os.kill(os.getpid(), signal.SIGKILL)
        raise AssertionError("unreachable: SIGKILL cannot be caught")

    def stop(self, seconds: float, why: str) -> None:
        """Sends SIGSTOP to this process. If ``seconds`` is finite, a child process sends SIGCONT after that time."""
        waker = subprocess.Popen(["/bin/sh", "-c", f"sleep {seconds}; kill -CONT {os.getpid()}"]) if math.isfinite(seconds) else None
        os.kill(os.getpid(), signal.SIGSTOP)
        if waker is not None:
            waker.wait()

    def exit(self) -> NoReturn:
        """Ends the process with status 1."""
        os._exit(1)

    def adopt(self, future: Future[Any]) -> None:
        """Does nothing: a real wait needs no scheduler."""

    def expect(self, future: Any) -> None:
        """Does nothing, for the same reason."""

    def lost_error(self) -> None:
        """Does nothing: a hang of real ranks is observed."""


def _default_group() -> Any:
    """The module ``torch.distributed`` if the process has a default process group; else None. Never imports torch."""
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return distributed
    return None


def launched_rank() -> int | None:
    """The number that a launcher gave this process in the variable ``RANK``; None without a launcher.

    Raises:
        UsageError: the variable holds no number.
    """
    return _number_in("RANK")


def stands_alone() -> bool:
    """Whether this process belongs to no world of the harness and has no process group, so that the engine saves for it alone, as rank 0 of 1."""
    return type(current()) is RealRuntime and _default_group() is None


def known_world_size() -> int | None:
    """The size of the default process group, else the launcher's ``WORLD_SIZE``, else None: not known yet.

    Raises:
        UsageError: the variable holds no number.
    """
    group = _default_group()
    return _number_in("WORLD_SIZE") if group is None else int(group.get_world_size())


def _number_in(variable: str) -> int | None:
    text = os.environ.get(variable)
    if not text:
        return None
    if not (text.isascii() and text.isdecimal()):
        raise UsageError(f"environment variable {variable}={quoted(text)} is not a number; a launcher sets RANK and WORLD_SIZE")
    return int(text)


_lost: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()


def lose(future: Any, why: str) -> None:
    """Declares that nothing ever completes a torch future, so that a world can call a wait for the future a hang.

    Args:
        future: the future.
        why: the fault, for the report of hangs.
    """
    _lost[future] = why


def lost(future: Any) -> str | None:
    """The fault that keeps a torch future from completing; None if there is none."""
    return _lost.get(future)


def derive(sources: list[Any], made: Any) -> None:
    """Notes that ``made`` completes only when all of ``sources`` do, so it is lost if one of them is."""
    for source in sources:
        why = lost(source)
        if why is not None:
            lose(made, why)


_installed: list[Runtime] = [RealRuntime()]

JOIN = "CKPT_HARNESS_JOIN"
"""Environment variable with ``module:function``: the function lets a process that a rank starts join the rank's world."""


def joined() -> History | None:
    """Makes this process part of the world of the rank that started the process, unless it is part of it already.

    Returns:
        The history of the process; None if there is no such world.
    """
    if JOIN not in os.environ or type(_installed[-1]) is not RealRuntime:
        return _joined[-1] if _joined else None
    module, _, name = os.environ[JOIN].partition(":")
    _joined.append(getattr(importlib.import_module(module), name)())
    return _joined[-1]


_joined: list[History] = []


_servants: weakref.WeakSet[threading.Thread] = weakref.WeakSet()


def serves(thread: threading.Thread) -> None:
    """Declares a thread a service: it works for any caller and lives on, as the event loop of a client library does.

    Such a thread is no leak of a case, and no rank waits for its end.
    """
    _servants.add(thread)


def servants() -> frozenset[threading.Thread]:
    """The service threads that are alive."""
    return frozenset(thread for thread in _servants if thread.is_alive())


def install_for_good(runtime: Runtime) -> None:
    """Makes ``runtime`` the current runtime for the life of the process."""
    _installed.append(runtime)


def current() -> Runtime:
    """The runtime of the running world; a :class:`RealRuntime` outside of any."""
    return _installed[-1]


@contextlib.contextmanager
def installed(runtime: Runtime) -> Iterator[None]:
    """Makes ``runtime`` the current runtime until the end of the ``with`` block. Worlds may nest: the judge of one world may run another world."""
    _installed.append(runtime)
    try:
        yield
    finally:
        _installed.remove(runtime)
