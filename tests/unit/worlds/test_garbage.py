"""When objects in reference cycles of ranks are finalized."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from ckpt_harness.runtime import current
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.simulated import SimulatedWorld


class Stream:
    """Acts when it is collected, like a stream that its finalizer closes."""

    def __init__(self, act: Callable[[], Any]) -> None:
        self.act = act
        self.itself = self

    def __del__(self) -> None:
        self.act()


def litter() -> None:
    """Creates more objects than the threshold of the collector."""
    assert [{} for _ in range(3 * gc.get_threshold()[0])]


def test_no_garbage_is_collected_while_ranks_run() -> None:
    """It is collected when all bodies have ended, on a thread of no rank, before the judge looks."""
    collected: list[str] = []

    def body() -> int:
        Stream(lambda: collected.append(threading.current_thread().name))
        litter()
        return len(collected)

    def judge(results: Sequence[RankResult]) -> None:
        assert [result.value for result in results] == [0, 0]
        assert collected == [threading.current_thread().name] * 2

    SimulatedWorld(2).run(body, judge=judge)
    assert len(collected) == 2


def test_objects_of_a_dead_rank_are_finalized_after_the_judge() -> None:
    """A killed process finalizes nothing. In the simulated world, objects are finalized after the judge, before the world returns."""
    collected: list[str] = []

    def body() -> None:
        held = Stream(lambda: collected.append("held"))
        if current().rank() == 0:
            current().die()
        held.act = lambda: None

    def judge(_: Sequence[RankResult]) -> None:
        assert collected == []

    SimulatedWorld(2).run(body, judge=judge)
    assert collected == ["held"]


@pytest.mark.parametrize("enabled", [True, False])
def test_the_collector_is_left_as_it_was(enabled: bool) -> None:
    """It is on or off as before, whatever the body does."""
    before = gc.isenabled()
    try:
        (gc.enable if enabled else gc.disable)()
        SimulatedWorld(1).run(gc.enable)
        assert gc.isenabled() is enabled
    finally:
        (gc.enable if before else gc.disable)()
