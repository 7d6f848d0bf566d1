"""``inject`` where ranks share a process: each rank has its own faults and counts."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import CheckpointException

from ckpt_harness import SimulatedWorld, assert_propagated, inject
from ckpt_harness.injection.activation import active
from ckpt_harness.injection.patching import _patches


@pytest.fixture(autouse=True)
def nothing_stays_replaced() -> Iterator[None]:
    yield
    assert (_patches._users, active()) == (0, ())


def outcome(kind: str, place: Path) -> str:
    """``saved``, or the injected errors with their ranks."""
    try:
        result = getattr(dcp, kind)({"weight": torch.ones(4)}, checkpoint_id=place)
        if kind == "async_save":
            result.result(timeout=60)
    except CheckpointException as error:
        return ", ".join(re.findall(r"injected at \S+ on rank \d", str(error.failures)))
    return "saved"


@pytest.mark.parametrize("kind", ["save", "async_save"])
def test_a_block_around_a_world_reaches_every_rank(tmp_path: Path, kind: str) -> None:
    """Operations are counted per rank; the fault strikes the addressed rank, and every rank reports it."""

    def body() -> list[str]:
        return [outcome(kind, tmp_path / str(number)) for number in range(3)]

    with inject(f"{kind}[2]/write_data@1=raise(OSError:EIO)") as faults:
        results = SimulatedWorld(3).run(body)
    assert [result.value for result in results] == [["saved", "injected at writer.write_data on rank 1", "saved"]] * 3
    assert [(firing.rank, firing.operation) for firing in faults.fired] == [(1, f"{kind}[2]")]


def test_a_block_that_a_rank_enters_is_its_own(tmp_path: Path) -> None:
    """Blocks of different ranks overlap and end in any order; each acts on its own rank, and counts from its own beginning."""

    def body() -> tuple[str, str, int]:
        rank = dist.get_rank()
        with inject(f"save[{2 if rank == 0 else 1}]/write_data@all=raise") as faults:
            first, second = (outcome("save", tmp_path / str(number)) for number in range(2))
        assert outcome("save", tmp_path / "after") == "saved"
        return first, second, len(faults.fired)

    results = SimulatedWorld(3, seed=5).run(body)
    errors = "injected at writer.write_data on rank 1, injected at writer.write_data on rank 2", "injected at writer.write_data on rank 0"
    assert [result.value for result in results] == [(*errors, 1)] * 3, [result.error for result in results]


@pytest.mark.filterwarnings("ignore:`save_state_dict` is deprecated")
def test_the_coordinator_is_known_before_set_up(tmp_path: Path) -> None:
    """Sites before set-up follow the coordinator of the call, also another than rank 0."""

    def body() -> Any:
        with pytest.raises(CheckpointException) as caught:
            dcp.save_state_dict({"weight": torch.ones(4)}, dcp.FileSystemWriter(tmp_path), coordinator_rank=2)
        return caught.value

    with inject("storage_meta@coordinator=raise(OSError:EIO)") as faults:
        results = SimulatedWorld(3).run(body)
    for result in results:
        assert_propagated(result.value, faults.plan, world_size=3, coordinator=2)
    assert [firing.rank for firing in faults.fired] == [2]


@pytest.mark.filterwarnings("ignore:torch.distributed is disabled")
def test_a_thread_of_no_rank_is_left_alone(tmp_path: Path) -> None:
    """A judge that reads the storage while the world's ranks exist loads without faults."""
    loaded = {"weight": torch.zeros(4)}

    def judge(_: object) -> None:
        dcp.load(loaded, checkpoint_id=tmp_path, no_dist=True)

    with inject("load/read_data@all=raise") as faults:
        SimulatedWorld(2).run(outcome, "save", tmp_path, judge=judge)
    assert torch.equal(loaded["weight"], torch.ones(4))
    assert not faults.fired
