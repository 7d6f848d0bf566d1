"""What every test and scenario of this repository gets, and what none may leave behind."""

from __future__ import annotations

import fcntl
import os
import sys
import threading
from collections.abc import Iterator

import pytest

from ckpt_harness import strategies

pytest_plugins = ["pytester"]

_ENDING = 5.0
"""Seconds that a thread which was told to end may take: a progress bar's looks up only now and then."""


def pytest_configure() -> None:
    """Searches as the profile says that ``CKPT_HARNESS_PROFILE`` names; the same every time, if it names none. Each xdist worker has its processor."""
    strategies.load_profile()
    worker = os.environ.get("PYTEST_XDIST_WORKER", "")
    if worker:
        from ckpt_harness.campaigns import workers

        workers.stay_on_one_processor(int(worker.removeprefix("gw")))


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
    """Of tests that are marked so only one runs at once, whatever the number of workers: their ranks start processes that import torch anew.

    A lock, since with xdist's groups of tests a run never ends once a worker has been lost.
    """
    if request.node.get_closest_marker("one_at_a_time") is None:
        yield
        return
    with (tmp_path_factory.getbasetemp().parent / "one-at-a-time").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """Fails a test that leaves threads, groups, runtimes, random state or variables behind."""
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
