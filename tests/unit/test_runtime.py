"""The services that a world offers to faults."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import NoReturn

import pytest

from ckpt_harness import runtime


class Fake:
    """A runtime that does nothing."""

    def rank(self) -> int:
        return 7

    def now(self) -> float:
        return 0.0

    def sleep(self, seconds: float) -> None: ...

    def hang(self, why: str) -> NoReturn:
        raise AssertionError(why)

    def die(self) -> NoReturn:
        raise AssertionError


def test_the_real_runtime_is_the_default() -> None:
    """Without a running world, ranks are processes."""
    assert isinstance(runtime.current(), runtime.RealRuntime)


def test_worlds_may_nest() -> None:
    """The innermost runtime is current; at its end, also after an error, the runtime before returns."""
    real, outer, inner = runtime.current(), Fake(), Fake()
    with runtime.installed(outer):
        with pytest.raises(ValueError, match="inside"), runtime.installed(inner):
            assert runtime.current() is inner
            raise ValueError("inside")
        assert runtime.current() is outer
    assert runtime.current() is real


def test_without_a_group_the_launcher_provides_the_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """Torchrun's RANK, else 0."""
    monkeypatch.setenv("RANK", "3")
    assert runtime.RealRuntime().rank() == 3
    monkeypatch.delenv("RANK")
    assert runtime.RealRuntime().rank() == 0


def test_time_starts_with_the_runtime_and_never_runs_back() -> None:
    """The clock is monotonic."""
    real = runtime.RealRuntime()
    assert 0 <= real.now() <= real.now() < 60


def test_dying_is_sigkill() -> None:
    """No ``finally`` block runs."""
    code = "from ckpt_harness import runtime\ntry: runtime.current().die()\nfinally: print('unwound', flush=True)"
    died = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=250, check=False)
    assert (died.returncode, died.stdout) == (-signal.SIGKILL, b"")


def test_hanging_never_returns() -> None:
    """Only a signal ends the call."""
    code = "import signal; from ckpt_harness import runtime\nsignal.alarm(1)\nruntime.current().hang('test')"
    assert subprocess.run([sys.executable, "-c", code], timeout=250, check=False).returncode == -signal.SIGALRM
