"""For every test and scenario of this repository: the hypothesis profile, a processor for each worker, and a check that nothing is left behind."""

from __future__ import annotations

import fcntl
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ckpt_harness import strategies

pytest_plugins = ["pytester", "tests.time_limit"]

_ENDING = 5.0
"""Seconds that a thread may take to end after a test; the thread of a progress bar looks only now and then whether it should end."""


def pytest_configure() -> None:
    """Loads the hypothesis profile that ``CKPT_HARNESS_PROFILE`` names, by default a deterministic one, and binds each xdist worker to one processor."""
    strategies.load_profile()
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker:
        from ckpt_harness.campaigns import workers

        workers.stay_on_one_processor(int(worker.removeprefix("gw")))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Lets workers that have no test left take those of others: tests that take long lie side by side. Another ``--dist`` than the default stays."""
    if config.getoption("dist") != "load":
        return None
    from xdist.scheduler import WorkStealingScheduling

    return WorkStealingScheduling(config, log)


def _torch_state() -> dict[str, object]:
    torch = sys.modules.get("torch")
    if torch is None:
        return {}
    group = torch.distributed.is_available() and torch.distributed.is_initialized()
    return {"a default process group": group, "torch's random state": torch.random.get_rng_state().numpy().tobytes()}


def _surroundings() -> dict[str, object]:
    from ckpt_harness import runtime
    from ckpt_harness.injection import activation

    return {
        "threads": {thread.name for thread in threading.enumerate() if thread.is_alive() and thread not in runtime.servants()},
        "the working directory": os.getcwd(),  # noqa: PTH109  (compared, never used as a path)
        "environment variables": {name for name in os.environ if name.startswith("CKPT_HARNESS")},
        "an installed runtime": runtime.current(),
        "an active injector": activation.active(),
        **_torch_state(),
    }


@pytest.fixture(autouse=True)
def one_at_a_time(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Runs only one of the tests with the mark ``one_at_a_time`` at a time, over all workers: their ranks start processes that import torch.

    This is a lock and no group of xdist, since a run with groups never ends once a worker has crashed.
    """
    if request.node.get_closest_marker("one_at_a_time") is None:
        yield
        return
    with (tmp_path_factory.getbasetemp().parent / "one-at-a-time").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Fails a test that leaves a thread, a process group, a runtime, an injector or an environment variable behind, or changes torch's random state."""
    from ckpt_harness import runtime

    before = _surroundings()
    yield
    for thread in threading.enumerate():
        if thread.name not in before["threads"] and thread not in runtime.servants():  # type: ignore[operator]  # a set of names
            thread.join(timeout=_ENDING)
    after = _surroundings()
    left = [name for name, value in before.items() if name != "threads" and after[name] != value]
    threads = after["threads"] - before["threads"]  # type: ignore[operator]  # both are sets of names
    assert not left, f"the test left behind: {', '.join(left)}"
    assert not threads, f"the test left threads behind: {', '.join(sorted(threads))}"
