"""What a simulated world leaves alone, and that it leaves nothing behind."""

from __future__ import annotations

import gc
import os
import random
import subprocess
import sys
import threading
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from tests import own_descriptors

from ckpt_harness import runtime
from ckpt_harness.errors import HarnessError, UsageError
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.simulated import SimulatedWorld


def hang_one() -> None:
    if dist.get_rank() != 1:
        dist.barrier()


def test_a_hundred_deadlocked_worlds_leak_nothing() -> None:
    """Threads, descriptors and hooks are what they were."""
    SimulatedWorld(4).run(hang_one)
    gc.collect()
    before = (threading.active_count(), own_descriptors.count(), sys.excepthook)
    for seed in range(100):
        results = SimulatedWorld(4, seed=seed).run(hang_one)
        assert [result.outcome for result in results] == ["hung", "returned", "hung", "hung"]
    assert (threading.active_count(), own_descriptors.count(), sys.excepthook) == before


def test_worlds_are_freed() -> None:
    """What a rank held is garbage once the run is over."""
    import weakref

    class Held:
        pass

    alive: list[weakref.ref[Held]] = []

    def body() -> None:
        held = Held()
        alive.append(weakref.ref(held))
        hang_one()

    SimulatedWorld(3).run(body)
    gc.collect()
    assert [reference() for reference in alive] == [None] * 3


def test_the_process_keeps_its_own_group() -> None:
    """A group that was initialised before a run is untouched by it, and unseen in it."""
    store = dist.HashStore()
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    try:
        mine, name = dist.group.WORLD, dist.get_backend()
        sizes = [result.value for result in SimulatedWorld(3).run(dist.get_world_size)]
        assert sizes == [3, 3, 3]
        assert dist.group.WORLD is mine
        assert (dist.get_world_size(), dist.get_backend()) == (1, name)
        tensor = torch.ones(1)
        dist.all_reduce(tensor)
        assert tensor.item() == 1.0
        assert [result.value for result in SimulatedWorld(2, group=False).run(dist.is_initialized)] == [False, False]
    finally:
        dist.destroy_process_group()


def test_torch_is_restored_exactly() -> None:
    """After a run, torch's registry, waits and plan caches are the very same objects."""
    planner = dcp.planner.SavePlanner

    def surroundings() -> list[Any]:
        caches = [value for name, value in sorted(vars(planner).items()) if name.startswith("_cached_")]
        return [dist.distributed_c10d._world, torch._C.Future.__dict__["wait"], sys.excepthook, *caches]

    before = surroundings()
    SimulatedWorld(2).run(hang_one)
    assert all(one is other for one, other in zip(before, surroundings(), strict=True))


def test_random_states_are_untouched() -> None:
    """The order of a world is drawn from a generator of its own."""
    random.seed(1)
    before = (torch.random.get_rng_state().tolist(), random.getstate())
    SimulatedWorld(4, seed=9).run(dist.barrier)
    assert (torch.random.get_rng_state().tolist(), random.getstate()) == before


def test_plan_caches_are_kept_per_rank(tmp_path: Path) -> None:
    """DCP's class-level plan caches of one rank are not seen by another, nor by the next run."""

    def body() -> list[int]:
        planner = dcp.DefaultSavePlanner(enable_plan_caching=True)
        sizes = []
        for number in range(3):
            writer = dcp.FileSystemWriter(tmp_path / str(number), sync_files=False)
            dcp.save({f"of rank {dist.get_rank()}": torch.ones(2)}, storage_writer=writer, planner=planner)
            sizes.append(len(dcp.planner.SavePlanner._cached_save_plan))
        return sizes

    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert [result.value for result in SimulatedWorld(3).run(body)] == [[1, 1, 1]] * 3
    assert not dcp.planner.SavePlanner._cached_save_plan
    assert len(dcp.FileSystemReader(tmp_path / "2").read_metadata().state_dict_metadata) == 3


def test_worlds_nest_in_a_judge_only() -> None:
    """A judge may run worlds in worlds; a rank may not."""
    depths: list[int] = []

    def judge(results: Sequence[RankResult]) -> None:
        depths.append(len(results))
        if len(results) > 1:
            SimulatedWorld(len(results) - 1).run(hang_one if len(results) > 2 else dist.barrier, judge=judge)

    SimulatedWorld(3).run(hang_one, judge=judge)
    assert depths == [3, 2, 1]
    (inner,) = SimulatedWorld(1).run(lambda: SimulatedWorld(1).run(dist.barrier))
    assert isinstance(inner.error, UsageError)


def test_a_rank_can_have_a_world_run_aside() -> None:
    """All ranks stand still meanwhile, keep their groups, and go on afterwards; an error comes back to the rank that asked."""
    inner: list[int] = []

    def look() -> None:
        inner.extend(result.value for result in SimulatedWorld(3).run(dist.get_world_size))

    def body() -> int:
        world.meet(lambda: world.aside(look))
        dist.barrier()
        return len(inner)

    world = SimulatedWorld(2)
    assert [result.value for result in world.run(body)] == [3, 3]
    assert inner == [3, 3, 3]

    (failed,) = SimulatedWorld(1).run(lambda: SimulatedWorld(1).aside(lambda: 1 / 0))
    assert isinstance(failed.error, ZeroDivisionError)


def test_what_is_done_aside_may_take_its_time() -> None:
    """The limit for a rank that never comes back counts from the end of what was done aside."""
    world = SimulatedWorld(1, external_limit=0.05)
    waiting = threading.Event()
    (result,) = world.run(lambda: world.aside(lambda: waiting.wait(0.2)))
    assert result.outcome == "returned"


def test_worlds_on_several_threads_take_turns() -> None:
    """A process runs one world at a time, whoever asks."""
    values: list[list[Any]] = []

    def ask() -> None:
        values.extend([result.value for result in SimulatedWorld(2, seed=seed).run(dist.get_rank)] for seed in range(5))

    helpers = [threading.Thread(target=ask) for _ in range(3)]
    for helper in helpers:
        helper.start()
    for helper in helpers:
        helper.join(60.0)
    assert values == [[0, 1]] * 15


def test_an_error_of_the_judge_still_unwinds() -> None:
    """Threads end, and the error arrives."""

    def judge(results: Sequence[RankResult]) -> None:
        raise AssertionError("verdict")

    with pytest.raises(AssertionError, match="verdict"):
        SimulatedWorld(3).run(hang_one, judge=judge)


def test_the_runtime_of_a_world_is_current_while_it_runs() -> None:
    """Faults find the rank and the clock; a thread of no rank is refused rather than guessed."""
    outside = runtime.current()
    seen: list[type] = []

    def judge(results: Sequence[RankResult]) -> None:
        seen.append(type(runtime.current()))
        with pytest.raises(HarnessError, match="belongs to no rank"):
            runtime.current().rank()

    SimulatedWorld(1).run(dist.barrier, judge=judge)
    assert seen != [type(outside)]
    assert runtime.current() is outside


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "positive number of ranks, got 0"),
        ({"size": 2, "backend": "mpi"}, "'gloo' or 'nccl', got 'mpi'"),
        ({"size": 2, "on_deadlock": "wait"}, "'end' or 'time_out', got 'wait'"),
        ({"size": 2, "timeout": 0.0}, "positive seconds"),
    ],
)
def test_a_world_that_cannot_be_is_refused(options: dict[str, Any], message: str) -> None:
    """The message shows the value and the choices."""
    with pytest.raises(UsageError, match=message):
        SimulatedWorld(**options)


def test_importing_the_harness_does_not_import_torch() -> None:
    """The world is imported by those who run one."""
    code = "import sys, harness, ckpt_harness.worlds.base; sys.exit('torch' in sys.modules)"
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    assert subprocess.run([sys.executable, "-c", code], env=environment, check=False, timeout=250).returncode == 0
