"""Ends a test that takes longer than five minutes, and prints all stacks. Time in which a busy machine kept the test from running does not count.

A test that holds the interpreter in C is ended by ``faulthandler_timeout`` in pyproject.toml, which knows real seconds only.
"""

from __future__ import annotations

import faulthandler
import os
import threading
from collections.abc import Iterator
from time import sleep  # a simulated world replaces the function in its module

import pytest

from ckpt_harness.worlds.fair_clock import FairClock

LIMIT = 300.0
"""Seconds for a test, with the setup and teardown of its fixtures."""
_PAUSE = 0.5


class _Watch:
    """Watches the test that runs, from a thread of its own for the life of the process.

    Args:
        stderr: descriptor of the process's own stderr, which pytest captures during tests.
    """

    def __init__(self, stderr: int) -> None:
        self._stderr = stderr
        self._test: tuple[FairClock, float] | None = None
        threading.Thread(target=self._watch, name="time limit of tests", daemon=True).start()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self) -> Iterator[None]:
        """Runs one test."""
        clock = FairClock()
        self._test = clock, clock.now() + LIMIT
        try:
            return (yield)
        finally:
            self._test = None

    def pytest_enter_pdb(self) -> None:
        """Whoever debugs a test takes the time that it takes."""
        self._test = None

    def _watch(self) -> None:
        while True:
            sleep(_PAUSE)
            test = self._test
            if test is not None:
                clock, limit = test
                clock.tick()
                if clock.now() >= limit and self._test is test:
                    os.write(self._stderr, f"\nA test took longer than {LIMIT:g} s, for which the machine was free to run it:\n".encode())
                    faulthandler.dump_traceback(self._stderr)
                    os._exit(1)


def pytest_configure(config: pytest.Config) -> None:
    """Starts to watch. Output is not captured yet."""
    config.pluginmanager.register(_Watch(os.dup(2)), "time limit of tests")
