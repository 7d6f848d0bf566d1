"""The clock that stands still while a busy machine keeps processes from running, and the limits that use it."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping

import pytest

from ckpt_harness.worlds.fair_clock import FairClock, waits_for_a_processor
from ckpt_harness.worlds.simulated import threads
from ckpt_harness.worlds.simulated.scheduler import Scheduler
from ckpt_harness.worlds.simulated.tasks import Claim, Waiting

OUTSIDE = Waiting("something outside", claim=Claim.OUTSIDE)


def clock_of(*looks: tuple[float, Mapping[int, float]]) -> FairClock:
    """A clock that sees a moment and the waits of threads at each tick; then the last moment."""
    moments, waits = iter([*(moment for moment, _ in looks), looks[-1][0]]), iter([seen for _, seen in looks])
    return FairClock(lambda: next(waits), lambda: next(moments))


@pytest.mark.parametrize(
    ("looks", "longest", "now"),
    [
        ([(0.0, {1: 3.0}), (10.0, {1: 3.0})], 10.0, 10.0),
        ([(0.0, {1: 3.0}), (10.0, {1: 7.0})], 10.0, 6.0),
        ([(0.0, {1: 3.0, 2: 0.0}), (10.0, {1: 7.0, 2: 5.0})], 10.0, 5.0),
        ([(0.0, {1: 0.0, 2: 0.0}), (5.0, {1: 5.0, 2: 0.0}), (10.0, {1: 5.0, 2: 5.0})], 10.0, 0.5),
        ([(0.0, {}), (10.0, {1: 4.0})], 10.0, 6.0),
        ([(0.0, {1: 3.0}), (10.0, {})], 10.0, 10.0),
        ([(0.0, {1: 0.0}), (10.0, {1: 25.0})], 10.0, 0.5),
        ([(0.0, {1: 0.0}), (10.0, {1: 8.0})], 2.0, 8.0),
    ],
    ids=["free", "starved", "at once", "one after the other", "a new thread", "a thread that ended", "more than passed", "waited for less"],
)
def test_time_that_a_thread_waited_for_a_processor_does_not_count(
    looks: list[tuple[float, Mapping[int, float]]], longest: float, now: float
) -> None:
    """Of the threads that were starved at the same time, the thread that lost most decides. A twentieth of the time counts, whatever happens."""
    clock = clock_of(*looks)
    for _ in looks:
        clock.tick(longest)
    assert clock.now() == pytest.approx(now)


def test_the_threads_of_child_processes_are_seen() -> None:
    """A wait may be held up by a process that this process started."""
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    try:
        assert {os.getpid(), child.pid} <= set(waits_for_a_processor())
    finally:
        child.communicate(b"\n", timeout=60)
    assert child.pid not in waits_for_a_processor()


def waits_outside(clock: FairClock, until: threading.Event) -> str:
    """Runs a task that waits until something outside happens; how the scheduler ended, with a limit that is shorter than the wait."""
    scheduler = Scheduler(0, external_limit=0.3, clock=clock)

    def body() -> None:
        while not until.is_set():
            scheduler.park(OUTSIDE)

    threads.start(threading.Thread(target=body), task := scheduler.add(0, main=True))
    helper = threading.Timer(1.0, lambda: (until.set(), scheduler.wake(task)))
    helper.start()
    try:
        return scheduler.run()
    finally:
        assert scheduler.unwind() == []
        helper.join(30.0)


@pytest.mark.parametrize(
    ("waited", "ending"),
    [(lambda: {1: time.monotonic()}, "done"), (lambda: {1: 0.0}, "outside")],
    ids=["starved", "free"],
)
def test_a_starved_world_waits_longer_for_something_outside(waited: Callable[[], Mapping[int, float]], ending: str) -> None:
    """The limit is 0.3 s and the wait a second; where the machine withholds the processor all the time, the limit is reached after 6 s."""
    assert waits_outside(FairClock(waited), threading.Event()) == ending
