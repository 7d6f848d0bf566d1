"""Every run ends: ranks that poll, threads that never stop, and operations that complete their futures by hand."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future as PoolFuture
from typing import Any

import pytest
import torch.distributed as dist
from torch.futures import Future

from ckpt_harness.runtime import current
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.simulated import SimulatedWorld

NEVER = 1e9
"""Timeout of collectives, in virtual seconds: no timer fires in these tests."""


def waits(results: Any) -> list[str]:
    """How each rank ended, and what it waits for."""
    shown: list[RankResult] = list(results)
    return [f"{result.outcome}: {result.wait.what}" if result.wait else result.outcome for result in shown]


def test_a_rank_that_polls_for_ever_is_given_up() -> None:
    """Its next sleep might be the last, so that nothing is proved; the report names the line that polls."""

    def body() -> None:
        while dist.get_rank() == 1:
            time.sleep(10.0)
        dist.barrier()

    results = SimulatedWorld(2, timeout=NEVER).run(body)
    assert waits(results) == ["unknown: barrier (thread 'rank 0')", "unknown: sleep, again and again (thread 'rank 1')"]
    assert results[1].wait is not None
    assert results[1].wait.source.endswith(" in body")


def test_a_rank_that_polls_for_a_while_is_waited_for() -> None:
    """As often as usual timeouts allow: a tenth of a second, for half an hour."""

    def body() -> None:
        if dist.get_rank() == 1:
            for _ in range(18_000):
                time.sleep(0.1)
        dist.barrier()

    assert waits(SimulatedWorld(2, timeout=NEVER).run(body)) == ["returned", "returned"]


def sleeps() -> None:
    while True:
        time.sleep(5.0)


def rearms() -> None:
    again = threading.Timer(0.05, rearms)
    again.daemon = True
    again.start()


def test_a_heartbeat_does_not_keep_a_world_alive() -> None:
    """Although its next sleep is always pending."""

    def body() -> None:
        threading.Thread(target=sleeps, daemon=True).start()
        if dist.get_rank() == 0:
            dist.barrier()

    assert waits(SimulatedWorld(2, timeout=NEVER).run(body)) == ["unknown: barrier (thread 'rank 0')", "returned"]


@pytest.mark.parametrize(
    ("beat", "wait"),
    [(sleeps, "sleep, again and again (thread 'heart')"), (rearms, "lock (thread 'rank 0')")],
    ids=["a thread that sleeps", "a timer that starts the next"],
)
def test_a_heartbeat_does_not_prolong_a_wait_for_something_outside(beat: Callable[[], None], wait: str) -> None:
    """Before each of its sleeps ends, the world waits for a moment; all of these moments together have a limit."""

    def body() -> None:
        threading.Thread(target=beat, daemon=True, name="heart").start()
        PoolFuture[int]().result()

    assert waits(SimulatedWorld(1, external_limit=0.3).run(body)) == [f"unknown: {wait}"]


def test_a_run_that_only_makes_progress_is_given_up() -> None:
    """After twenty times the limit for waits."""

    def body() -> None:
        while True:
            dist.barrier()

    assert [result.outcome for result in SimulatedWorld(2, external_limit=0.02).run(body)] == ["unknown", "unknown"]


@pytest.mark.parametrize("make", [Future, PoolFuture], ids=["torch", "concurrent"])
def test_the_future_of_an_operation_hangs_with_the_operation(make: Callable[[], Any]) -> None:
    """A thread of the rank is to complete the future, and waits for ranks that never come: a deadlock, proved at once."""

    def body() -> None:
        future = make()
        current().expect(future)

        def operation() -> None:
            if dist.get_rank() == 0:
                current().hang("a fault")
            dist.barrier()
            future.set_result(None)

        threading.Thread(target=operation, daemon=True).start()
        future.wait() if make is Future else future.result()

    assert waits(SimulatedWorld(2).run(body)) == ["hung: a fault", "hung: barrier"]


def test_the_future_of_an_operation_may_be_completed_from_outside() -> None:
    """While no thread of the rank waits, something else is to complete the future, and has real time for that."""

    def body() -> None:
        future: PoolFuture[int] = PoolFuture()
        current().expect(future)
        future.result()

    assert waits(SimulatedWorld(1, external_limit=0.1).run(body)) == ["unknown: lock (thread 'rank 0')"]
