"""The scheduler alone: order, virtual time, and the proof that nobody can go on."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import pytest

from ckpt_harness.worlds.simulated import threads
from ckpt_harness.worlds.simulated.scheduler import Scheduler
from ckpt_harness.worlds.simulated.tasks import Claim, State, Unwind, Waiting


def run(scheduler: Scheduler, *bodies: Callable[[], None]) -> str:
    """Runs one task a body, ends every thread, and says how the scheduler ended."""
    for rank, body in enumerate(bodies):
        threads.start(threading.Thread(target=body, name=f"task {rank}"), scheduler.add(rank, main=True))
    try:
        return scheduler.run()
    finally:
        assert scheduler.unwind() == []


def order_of(seed: int, count: int = 6) -> list[int]:
    scheduler, order = Scheduler(seed), []

    def body(rank: int) -> Callable[[], None]:
        def act() -> None:
            for _ in range(3):
                order.append(rank)
                scheduler.pause()

        return act

    assert run(scheduler, *(body(rank) for rank in range(count))) == "done"
    return order


def test_the_same_seed_gives_the_same_order() -> None:
    """The order of tasks is a function of the seed."""
    assert order_of(3) == order_of(3)


def test_another_seed_gives_another_order() -> None:
    """Different seeds explore different orders."""
    assert len({tuple(order_of(seed)) for seed in range(8)}) > 4


def test_only_one_task_runs_at_a_time() -> None:
    """Between two scheduler points nothing else runs."""
    scheduler, inside, most = Scheduler(0), [], []

    def body() -> None:
        for _ in range(20):
            inside.append(1)
            most.append(len(inside))
            inside.pop()
            scheduler.pause()

    assert run(scheduler, *[body] * 5) == "done"
    assert set(most) == {1}


def test_sleeping_costs_virtual_time_only() -> None:
    """A delay of an hour ends at once; tasks wake in the order of their deadlines."""
    scheduler, woke = Scheduler(0), []

    def body(seconds: float) -> Callable[[], None]:
        def act() -> None:
            scheduler.sleep(seconds)
            woke.append((seconds, scheduler.now))

        return act

    assert run(scheduler, body(3600.0), body(1.0), body(60.0)) == "done"
    assert woke == [(1.0, 1.0), (60.0, 60.0), (3600.0, 3600.0)]


def test_waiting_for_nothing_is_a_deadlock() -> None:
    """When every wait is the scheduler's own and no event is to come, the end is proved."""
    scheduler = Scheduler(0)
    assert run(scheduler, lambda: None, lambda: scheduler.hang("nothing")) == "deadlock"


def test_timers_do_not_save_from_a_deadlock() -> None:
    """Only timers of collectives left: the world ends without their firing, in no virtual time."""
    scheduler = Scheduler(0)
    assert run(scheduler, lambda: parked(scheduler, [], 10.0)) == "deadlock"
    assert scheduler.now == 0.0


def parked(scheduler: Scheduler, fired: list[float], deadline: float) -> None:
    if not scheduler.park(Waiting("collective"), deadline, "timer"):
        fired.append(scheduler.now)


def test_timers_fire_when_asked_to() -> None:
    """With ``time_out`` the timers fire in the order of virtual time."""
    scheduler, fired = Scheduler(0, on_deadlock="time_out"), []
    assert run(scheduler, lambda: parked(scheduler, fired, 20.0), lambda: parked(scheduler, fired, 10.0)) == "done"
    assert fired == [10.0, 20.0]


def test_a_timer_fires_when_another_event_is_still_to_come() -> None:
    """While somebody only sleeps it is no deadlock, and a timer that lies before fires."""
    scheduler, fired = Scheduler(0), []
    assert run(scheduler, lambda: parked(scheduler, fired, 10.0), lambda: scheduler.sleep(30.0)) == "done"
    assert (fired, scheduler.now) == ([10.0], 30.0)


def test_a_wait_for_the_outside_is_never_a_deadlock() -> None:
    """It gets real time, and then the end is 'outside'."""
    scheduler = Scheduler(0, external_limit=0.3)
    assert run(scheduler, lambda: parked_outside(scheduler, Claim.OUTSIDE), lambda: scheduler.hang("x")) == "outside"


def parked_outside(scheduler: Scheduler, claim: Claim) -> None:
    scheduler.park(Waiting("outside", claim))


def test_an_idle_worker_does_not_hide_a_deadlock() -> None:
    """A thread that waits for work, and for which nobody waits, has no say."""
    scheduler = Scheduler(0)
    assert run(scheduler, lambda: parked_outside(scheduler, Claim.IDLE), lambda: scheduler.hang("x")) == "deadlock"


def test_a_thread_outside_can_wake_a_task() -> None:
    """The waker needs no baton."""
    scheduler, go = Scheduler(0, external_limit=30.0), threading.Event()

    def body() -> None:
        go.set()
        parked_outside(scheduler, Claim.OUTSIDE)

    def outsider() -> None:
        assert go.wait(30.0)
        scheduler.wake(scheduler.tasks[0])

    helper = threading.Thread(target=outsider)
    helper.start()
    assert run(scheduler, body) == "done"
    helper.join(30.0)


def test_a_thread_that_never_comes_back_ends_the_world() -> None:
    """Native code that holds the baton beyond the limit makes the end 'stuck', not the test run."""
    scheduler, release = Scheduler(0, external_limit=0.3), threading.Lock()
    release.acquire()
    threads.start(threading.Thread(target=release.acquire, name="stuck"), scheduler.add(0, main=True))
    assert scheduler.run() == "stuck"
    stuck = scheduler.stuck
    assert stuck is not None
    assert scheduler.unwind() == [stuck]
    release.release()
    assert stuck.thread is not None
    stuck.thread.join(30.0)
    assert not stuck.thread.is_alive()


def test_unwinding_cannot_be_blocked() -> None:
    """Code that swallows the unwinding meets it again at every further scheduler point, and no other task runs."""
    scheduler, reached = Scheduler(0), []

    def stubborn() -> None:
        for point in (lambda: scheduler.hang("first"), scheduler.pause, lambda: scheduler.sleep(1.0)):
            try:
                point()
            except Unwind:
                reached.append(point)
        scheduler.hang("last")

    assert run(scheduler, stubborn) == "deadlock"
    assert len(reached) == 3


def test_the_dead_run_no_more() -> None:
    """All tasks of a dead rank stay parked until the world unwinds, and are not waited for."""
    scheduler, seen = Scheduler(0), []

    def dies() -> None:
        try:
            scheduler.die(0)
        finally:
            seen.append(scheduler.unwinding)

    assert run(scheduler, dies, lambda: scheduler.sleep(5.0)) == "done"
    assert seen == [True]
    assert scheduler.now == 5.0


def test_the_judge_finds_everything_parked() -> None:
    """Between the end and the unwinding no task has moved."""
    scheduler, unwound = Scheduler(0), []

    def body() -> None:
        try:
            scheduler.hang("x")
        finally:
            unwound.append(True)

    threads.start(threading.Thread(target=body), scheduler.add(0, main=True))
    assert scheduler.run() == "deadlock"
    assert (unwound, scheduler.tasks[0].state) == ([], State.WAITING)
    scheduler.unwind()
    assert unwound == [True]


@pytest.mark.parametrize("seed", range(3))
def test_joining_waits_for_the_end_of_a_task(seed: int) -> None:
    """A joiner runs again when the other has ended, or its deadline passes."""
    scheduler, seen = Scheduler(seed), []

    def joiner() -> None:
        seen.extend([scheduler.join(scheduler.tasks[1], 1.0), scheduler.now, scheduler.join(scheduler.tasks[1]), scheduler.now])

    assert run(scheduler, joiner, lambda: scheduler.sleep(5.0)) == "done"
    expected: list[Any] = [False, 1.0, True, 5.0]
    assert seen == expected
