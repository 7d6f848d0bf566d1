"""Waits that something outside the world may end are distinguished from deadlocks."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future as PoolFuture
from typing import Any

import fsspec.asyn
import pytest
import torch
import torch.distributed as dist
from torch.futures import Future

from ckpt_harness.runtime import current, serves
from ckpt_harness.worlds.simulated import SimulatedWorld

Outside = Callable[[float, Callable[[], Any]], None]


@pytest.fixture
def later() -> Iterator[Outside]:
    """Has a native thread do something after some real seconds."""
    orders: queue.SimpleQueue[tuple[float, Callable[[], Any]] | None] = queue.SimpleQueue()
    never = threading.Event()

    def serve() -> None:
        while (order := orders.get()) is not None:
            assert not never.wait(order[0])
            order[1]()

    helper = threading.Thread(target=serve)
    helper.start()
    yield lambda seconds, act: orders.put((seconds, act))
    orders.put(None)
    helper.join(30.0)


@pytest.mark.parametrize("make", [Future, PoolFuture], ids=["torch", "concurrent"])
def test_a_future_completed_two_seconds_late_is_no_deadlock(later: Outside, make: Callable[[], Any]) -> None:
    """A native thread may take its time; the peers in a barrier wait with the rank."""

    def body() -> int:
        value = 0
        if dist.get_rank() == 1:
            future = make()
            later(2.0, lambda: future.set_result(7))
            value = future.wait() if make is Future else future.result()
        dist.barrier()
        return int(value)

    began = time.monotonic()
    results = SimulatedWorld(3).run(body)
    assert [result.value for result in results] == [0, 7, 0]
    assert time.monotonic() - began > 1.9


def test_a_future_that_nobody_completes_is_unknown() -> None:
    """Patience ends; the report names the thread and what it waits on."""

    def body() -> None:
        if dist.get_rank() == 1:
            Future().wait()  # type: ignore[no-untyped-call]
        dist.barrier()

    results = SimulatedWorld(2, external_limit=0.3).run(body)
    assert [result.outcome for result in results] == ["unknown", "unknown"]
    assert results[1].wait is not None
    assert results[1].wait.what == "torch future (thread 'rank 1')"
    assert results[1].wait.source.endswith(" in body")


def test_a_collection_of_futures_waits_the_same_way(later: Outside) -> None:
    """``torch.futures.wait_all`` ends in the same wait."""

    def body() -> list[int]:
        futures: list[Future[int]] = [Future(), Future()]
        later(0.05, lambda: [future.set_result(place) for place, future in enumerate(futures)])
        return torch.futures.wait_all(futures)

    (result,) = SimulatedWorld(1).run(body)
    assert result.value == [0, 1]


def test_a_future_that_a_rank_completes_itself_needs_no_real_time() -> None:
    """A future completed by a thread of the world is an event of the world."""

    def body() -> int:
        future: Future[int] = Future()
        thread = threading.Thread(target=lambda: (time.sleep(0.0), future.set_result(5)))
        thread.start()
        return int(future.wait())

    (result,) = SimulatedWorld(1, external_limit=1.0).run(body)
    assert result.value == 5


def test_virtual_time_waits_for_the_outside(later: Outside) -> None:
    """While a rank waits for a native thread, a long delay elsewhere does not make its peers time out."""

    def body() -> str:
        if dist.get_rank() == 0:
            time.sleep(1700.0)
        if dist.get_rank() == 1:
            future: Future[int] = Future()
            later(0.1, lambda: future.set_result(1))
            future.wait()
        dist.barrier()
        return "met"

    assert [result.value for result in SimulatedWorld(3).run(body)] == ["met"] * 3


def test_a_rank_that_blocks_in_native_code_is_unknown_and_named() -> None:
    """The test run continues; the thread ends when its native code returns."""
    native = threading.Lock()
    native.acquire()

    def body() -> None:
        if dist.get_rank() == 1:
            native.acquire()
        dist.barrier()

    try:
        results = SimulatedWorld(3, external_limit=0.3).run(body)
    finally:
        native.release()
    assert [result.outcome for result in results] == ["unknown"] * 3
    assert results[1].wait is not None
    assert results[1].wait.what == "native code that does not return (thread 'rank 1')"
    assert results[1].wait.source.endswith(" in body")
    for thread in threading.enumerate():
        if thread.name == "rank 1":
            thread.join(30.0)
            assert not thread.is_alive()


async def answer() -> int:
    await asyncio.sleep(0.1)
    return 42


def test_a_loop_that_a_rank_starts_for_the_process_is_outside() -> None:
    """As fsspec does it: the first to need the shared loop starts its thread, which outlives the world."""
    loop = asyncio.new_event_loop()

    def body() -> int:
        if dist.get_rank() == 0:
            threading.Thread(target=loop.run_forever, name="shared loop", daemon=True).start()
        dist.barrier()
        done, results = threading.Event(), []

        async def run() -> None:
            results.append(await answer())
            done.set()

        asyncio.run_coroutine_threadsafe(run(), loop)
        while not done.wait(1.0):
            pass
        return int(results[0])

    try:
        for _ in range(2):
            assert [result.value for result in SimulatedWorld(2).run(body)] == [42, 42]
            loop.call_soon_threadsafe(loop.stop)
            for thread in threading.enumerate():
                if thread.name == "shared loop":
                    thread.join(30.0)
    finally:
        loop.close()


def test_a_loop_that_a_rank_runs_itself_gives_the_baton_away() -> None:
    """Coroutines run as the rank; while they wait, peers and the rank's own executor go on."""

    def body() -> tuple[int, int]:
        async def main() -> tuple[int, int]:
            in_pool = await asyncio.get_running_loop().run_in_executor(None, current().rank)
            return await answer(), in_pool

        dist.barrier()
        value = asyncio.run(main())
        dist.barrier()
        return value

    assert [result.value for result in SimulatedWorld(2).run(body)] == [(42, 0), (42, 1)]


def test_a_loop_that_waits_for_ever_is_unknown() -> None:
    """Somebody outside might write to its descriptors."""

    def body() -> None:
        asyncio.run(asyncio.Event().wait())

    (result,) = SimulatedWorld(1, external_limit=0.3).run(body)
    assert result.outcome == "unknown"
    assert result.wait is not None
    assert "event loop" in result.wait.what


def test_a_rank_that_fsspec_serves_keeps_its_turn() -> None:
    """So the speed of the store decides nothing: nobody else runs until it has its answer."""
    order: list[str] = []
    loop = fsspec.asyn.get_loop()
    serves(fsspec.asyn.iothread[0])

    async def slow() -> None:
        await asyncio.sleep(0.05)

    def body() -> None:
        rank = dist.get_rank()
        order.append(f"{rank} asks")
        fsspec.asyn.sync(loop, slow)
        order.append(f"{rank} is answered")

    SimulatedWorld(3, seed=1).run(body)
    assert [entry.partition(" ")[0] for entry in order[::2]] == [entry.partition(" ")[0] for entry in order[1::2]]
