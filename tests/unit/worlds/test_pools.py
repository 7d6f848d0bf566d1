"""Thread pools that a library keeps for the life of the process: each rank has such a pool for itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch.distributed as dist

from ckpt_harness.runtime import current
from ckpt_harness.worlds.simulated import SimulatedWorld


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2, thread_name_prefix="uploader") as made:
        made.submit(int).result()  # starts a native thread, which belongs to no rank
        yield made


def who() -> tuple[int, str]:
    return current().rank(), threading.current_thread().name


def test_work_belongs_to_the_rank_that_submits_it(pool: ThreadPoolExecutor) -> None:
    """Although the pool is older than the world. Threads are called as in the pool, and idle threads are not left behind."""
    results = SimulatedWorld(2).run(lambda: pool.submit(who).result())
    assert [result.value for result in results] == [(0, "uploader_0"), (1, "uploader_0")]
    assert [result.left for result in results] == [(), ()]


def test_a_pool_that_one_rank_makes_is_not_shared() -> None:
    """A module global that the first rank sets: in a process of its own, each rank would set it."""
    kept: list[ThreadPoolExecutor] = []

    def body() -> tuple[int, str]:
        if not kept:
            kept.append(ThreadPoolExecutor(1, thread_name_prefix="kept"))
        return kept[0].submit(who).result()

    first = SimulatedWorld(2).run(body)
    again = SimulatedWorld(2).run(body)  # with a pool whose threads ended with the first world
    assert [result.value for result in first] == [result.value for result in again] == [(0, "kept_0"), (1, "kept_0")]


def test_a_hang_in_a_pool_is_proved(pool: ThreadPoolExecutor) -> None:
    """The rank that waits for its work hangs; others have other threads."""
    work: list[Callable[[], object]] = [lambda: current().hang("a fault"), who]
    first, second = SimulatedWorld(2).run(lambda: pool.submit(work[dist.get_rank()]).result())
    assert (first.outcome, first.wait is not None and first.wait.what) == ("hung", "a fault")
    assert second.value == (1, "uploader_0")


def test_threads_of_a_pool_begin_as_the_pool_says() -> None:
    """With its initializer, on each rank."""
    begun: list[int] = []
    with ThreadPoolExecutor(1, initializer=lambda: begun.append(current().rank())) as pool:
        SimulatedWorld(2).run(lambda: pool.submit(who).result())
    assert sorted(begun) == [0, 1]


def test_a_rank_shuts_a_pool_down_for_itself(pool: ThreadPoolExecutor) -> None:
    """The others, and later worlds, go on using it. A pool that was shut down before the run refuses work, as ever."""

    def body() -> int:
        if dist.get_rank() == 0:
            pool.shutdown()
        dist.barrier()
        return pool.submit(who).result()[0]

    first, second = SimulatedWorld(2).run(body)
    assert isinstance(first.error, RuntimeError)
    assert second.value == 1
    assert pool.submit(int).result() == 0
    pool.shutdown()
    assert [type(result.error) for result in SimulatedWorld(2).run(body)] == [RuntimeError, RuntimeError]
