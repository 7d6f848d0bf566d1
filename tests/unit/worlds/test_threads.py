"""The standard library's waits, as seen by the threads of a world and by everybody else."""

from __future__ import annotations

import concurrent.futures
import queue
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ckpt_harness import runtime
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.simulated import SimulatedWorld


def run(body: Callable[[], Any], size: int = 1, **options: Any) -> Sequence[RankResult]:
    return SimulatedWorld(size, group=False, **options).run(body)


def value_of(body: Callable[[], Any], **options: Any) -> Any:
    (result,) = run(body, **options)
    assert result.outcome == "returned", result
    return result.value


def test_a_thread_belongs_to_the_rank_that_started_it() -> None:
    """Rank and virtual clock are inherited, by threads of threads too."""

    def body() -> list[int]:
        seen: list[int] = []

        def outer() -> None:
            inner = threading.Thread(target=lambda: seen.append(runtime.current().rank()))
            inner.start()
            inner.join()
            seen.append(runtime.current().rank())

        thread = threading.Thread(target=outer)
        thread.start()
        thread.join()
        assert not thread.is_alive()
        return seen

    assert [result.value for result in run(body, size=3)] == [[0, 0], [1, 1], [2, 2]]


def test_sleep_and_the_monotonic_clock_are_virtual() -> None:
    """A loop that polls until a deadline ends, in virtual time."""

    def body() -> float:
        deadline, began = time.monotonic() + 1800.0, time.monotonic()
        while time.monotonic() < deadline:
            time.sleep(10.0)
        return time.monotonic() - began

    assert value_of(body) == pytest.approx(1800.0)


def test_queues_and_conditions_connect_threads() -> None:
    """Producer and consumer of every kind of queue meet."""

    def body() -> list[int]:
        got: list[int] = []
        plain: queue.Queue[int] = queue.Queue(maxsize=1)
        simple: queue.SimpleQueue[int] = queue.SimpleQueue()
        ready = threading.Condition()

        def produce() -> None:
            for item in range(3):
                plain.put(item)
            simple.put(3)
            with ready:
                got.append(4)
                ready.notify_all()

        thread = threading.Thread(target=produce)
        thread.start()
        got.extend(plain.get() for _ in range(3))
        got.append(simple.get())
        with ready:
            assert ready.wait_for(lambda: 4 in got, timeout=60.0)
        thread.join()
        return sorted(got)

    assert value_of(body) == [0, 1, 2, 3, 4]


def test_events_semaphores_barriers_and_reentrant_locks_work() -> None:
    """What is built on locks works on ours."""

    def body() -> str:
        event, semaphore, meeting, lock = threading.Event(), threading.Semaphore(0), threading.Barrier(2), threading.RLock()

        def other() -> None:
            with lock, lock:
                event.set()
            semaphore.acquire()
            meeting.wait()

        thread = threading.Thread(target=other)
        thread.start()
        event.wait()
        semaphore.release()
        meeting.wait()
        thread.join()
        return "met"

    assert value_of(body) == "met"


def test_an_executor_runs_its_tasks_under_the_scheduler() -> None:
    """Futures of a pool made in the world complete, results and errors alike."""

    def body() -> tuple[list[int], str]:
        with ThreadPoolExecutor(2) as pool:
            squares = list(pool.map(lambda number: number * number, range(5)))
            failing = pool.submit(lambda: 1 // 0)
            done, _ = concurrent.futures.wait([failing])
            return squares, type(next(iter(done)).exception()).__name__

    assert value_of(body) == ([0, 1, 4, 9, 16], "ZeroDivisionError")


def test_two_threads_that_lock_crosswise_are_proved_to_hang() -> None:
    """A mutex held by another task is the scheduler's own."""

    def body() -> None:
        first, second = threading.Lock(), threading.Lock()

        def other() -> None:
            with second:
                time.sleep(1.0)
                first.acquire()

        thread = threading.Thread(target=other)
        with first:
            thread.start()
            time.sleep(1.0)
            with second:
                pass

    (result,) = run(body)
    assert result.outcome == "hung"
    assert result.wait is not None
    assert result.wait.what == "lock"
    assert result.wait.source.endswith(" in body")


def test_a_future_of_a_hung_task_is_proved_to_hang() -> None:
    """A rank that waits for its own executor hangs where the executor's task hangs."""

    def body() -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(runtime.current().hang, "injected hang").result()

    (result,) = run(body)
    assert result.outcome == "hung"


def test_an_event_that_nobody_sets_is_unknown() -> None:
    """A thread outside might hold it too: patience, and then no verdict."""
    (result,) = run(lambda: threading.Event().wait(), external_limit=0.3)
    assert result.outcome == "unknown"
    assert result.wait is not None
    assert "rank 0" in result.wait.what


def test_a_worker_that_waits_for_work_does_not_hide_a_hang() -> None:
    """Consumers that no rank waits for have no say in the verdict, and cost no real time."""

    def body() -> None:
        work: queue.Queue[int] = queue.Queue()
        threading.Thread(target=work.get).start()
        runtime.current().hang("injected hang")

    (result,) = run(body, external_limit=30.0)
    assert result.outcome == "hung"


def test_a_delay_passes_while_a_rank_waits_for_its_own_thread() -> None:
    """Waiting on an event made in the world does not stop virtual time."""

    def body() -> float:
        ready = threading.Event()

        def late() -> None:
            time.sleep(1700.0)
            ready.set()

        threading.Thread(target=late).start()
        ready.wait()
        return runtime.current().now()

    assert value_of(body) == 1700.0


def test_a_timed_wait_on_a_future_of_the_world_takes_virtual_time() -> None:
    """The timeout of a wait that the scheduler owns costs nothing."""

    def body() -> tuple[str, float]:
        with ThreadPoolExecutor(1) as pool:
            future = pool.submit(time.sleep, 500.0)
            try:
                future.result(timeout=100.0)
            except concurrent.futures.TimeoutError:
                return "timeout", runtime.current().now()
        return "done", 0.0

    assert value_of(body) == ("timeout", 100.0)


def test_an_event_set_by_a_native_thread_simply_arrives() -> None:
    """Threads outside the world may set what the world waits for, whether it was made in the world or before."""
    go: queue.SimpleQueue[threading.Event | None] = queue.SimpleQueue()
    made_before = threading.Event()

    def outsider() -> None:
        while (event := go.get(timeout=30.0)) is not None:
            event.set()

    helper = threading.Thread(target=outsider)
    helper.start()

    def body() -> bool:
        made_inside = threading.Event()
        go.put(made_inside)
        made_inside.wait()
        go.put(made_before)
        return made_before.wait()

    try:
        assert value_of(body) is True
    finally:
        go.put(None)
        helper.join(30.0)


def test_a_polling_wait_that_a_native_thread_ends_passes_in_real_time() -> None:
    """A client that polls an event with a timeout is not rushed through virtual time."""
    go, gate = threading.Event(), threading.Event()
    events: list[threading.Event] = []

    def outsider() -> None:
        assert go.wait(30.0)
        assert not gate.wait(0.2)
        events[0].set()

    helper = threading.Thread(target=outsider)
    helper.start()

    def body() -> float:
        events.append(threading.Event())
        go.set()
        while not events[0].wait(0.01):
            pass
        return runtime.current().now()

    assert value_of(body) < 30.0
    helper.join(30.0)


def test_joining_a_native_thread_waits_for_it() -> None:
    """A thread started outside may be joined from inside."""
    gate = threading.Event()
    helper = threading.Thread(target=gate.wait, args=(30.0,))
    helper.start()

    def body() -> bool:
        gate.set()
        helper.join()
        return helper.is_alive()

    assert value_of(body) is False


def test_an_exception_on_a_thread_goes_to_the_excepthook() -> None:
    """As in a process: the hook sees it, on the failing thread, and the rank goes on."""
    seen: list[str] = []
    before = threading.excepthook
    threading.excepthook = lambda args: seen.append(f"{args.exc_type.__name__} on rank {runtime.current().rank()}")

    def body() -> str:
        thread = threading.Thread(target=lambda: 1 // 0)
        thread.start()
        thread.join()
        return "went on"

    try:
        assert value_of(body) == "went on"
    finally:
        threading.excepthook = before
    assert seen == ["ZeroDivisionError on rank 0"]


def test_threads_that_outlive_their_body_finish_their_work() -> None:
    """As a process waits for its threads at exit, so does the world; in virtual time."""
    done: list[float] = []

    def body() -> None:
        def late() -> None:
            time.sleep(100.0)
            done.append(runtime.current().now())

        threading.Thread(target=late).start()

    run(body)
    assert done == [100.0]


def test_hung_executors_are_sent_home_in_silence(caplog: pytest.LogCaptureFixture) -> None:
    """Unwinding logs nothing and calls no hook."""

    def body() -> None:
        pool = ThreadPoolExecutor(2)
        pool.submit(int).result()
        pool.submit(runtime.current().hang, "injected hang").result()

    (result,) = run(body)
    assert result.outcome == "hung"
    assert not caplog.records


def test_unwinding_a_wait_whose_lock_is_taken_is_silent() -> None:
    """A condition that cannot take its lock back while the world unwinds troubles no hook (pytest would fail on it)."""

    def body() -> None:
        ready = threading.Condition()

        def wait() -> None:
            with ready:
                ready.wait()

        threading.Thread(target=wait).start()
        time.sleep(1.0)
        with ready:
            runtime.current().hang("injected hang")

    (result,) = run(body)
    assert result.outcome == "hung"


def test_everything_is_restored_exactly() -> None:
    """After a run the standard library is the very same objects as before."""

    def surroundings() -> list[object]:
        pool = concurrent.futures.thread
        return [
            threading.Lock,
            threading.RLock,
            threading.Thread.__dict__["start"],
            threading.Thread.__dict__["join"],
            threading.Thread.__dict__["is_alive"],
            queue.SimpleQueue,
            time.sleep,
            time.monotonic,
            pool._global_shutdown_lock,
            ThreadPoolExecutor.__dict__["submit"],
            ThreadPoolExecutor.__dict__["shutdown"],
        ]

    before = surroundings()
    run(lambda: runtime.current().hang("injected hang"))
    run(lambda: 1 // 0)
    assert all(one is other for one, other in zip(before, surroundings(), strict=True))


def test_other_threads_keep_the_real_library_while_a_world_runs() -> None:
    """Only threads of the world see replacements: the judge's thread gets real locks and queues."""
    kinds: list[str] = []

    def judge(results: Sequence[RankResult]) -> None:
        kinds.extend([type(threading.Lock()).__name__, type(queue.SimpleQueue()).__name__])

    SimulatedWorld(1, group=False).run(lambda: None, judge=judge)
    assert kinds == ["lock", "SimpleQueue"]
