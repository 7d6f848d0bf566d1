"""Work for pools, in a module that their processes can import."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import ClassVar

from ckpt_harness.cases import printed


class Stay:
    """Waits for as many seconds as an item says."""

    few: ClassVar[int] = 0

    @contextlib.contextmanager
    def begun(self) -> Iterator[Callable[[float], float]]:
        yield self._stay

    def _stay(self, seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    def lost(self, item: float, how: str) -> float:
        return -1.0


class Print:
    """Prints each item past Python's streams, and finds what was printed."""

    few: ClassVar[int] = 0

    @contextlib.contextmanager
    def begun(self) -> Iterator[Callable[[str], str]]:
        yield self._print

    def _print(self, item: str) -> str:
        printed.begin()
        os.write(1, f"{item}\n".encode())
        return printed.so_far()

    def lost(self, item: str, how: str) -> str:
        return how


class EndProcesses:
    """Does what an item says: ``kill`` or ``exit`` ends the process, ``once PATH`` does so the first time, ``refuse`` raises an error."""

    few: ClassVar[int] = 0

    @contextlib.contextmanager
    def begun(self) -> Iterator[Callable[[str], str]]:
        yield self._do

    def _do(self, item: str) -> str:
        kind, _, path = item.partition(" ")
        if kind == "once":
            try:
                Path(path).touch(exist_ok=False)
            except FileExistsError:
                return item
        if kind in ("kill", "once"):
            os.kill(os.getpid(), signal.SIGKILL)
        if kind == "exit":
            os._exit(3)
        if kind == "refuse":
            raise LookupError(item)
        return item

    def lost(self, item: str, how: str) -> str:
        return f"{item}: {how}"


class NeverBegins:
    """Ends each process before it has begun to work."""

    few: ClassVar[int] = 0

    @contextlib.contextmanager
    def begun(self) -> Iterator[Callable[[str], str]]:
        os.kill(os.getpid(), signal.SIGKILL)
        yield str

    def lost(self, item: str, how: str) -> str:
        return how
