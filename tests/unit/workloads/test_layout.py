"""The layout of a state: equal values in another dtype, shape or sharding are another state."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from ckpt_harness.workloads.context import context_here
from ckpt_harness.workloads.layout import relaid
from ckpt_harness.workloads.workload import PARALLEL, WORKLOADS, Workload
from ckpt_harness.worlds.simulated import SimulatedWorld

pytestmark = pytest.mark.usefixtures("silence")


def _on_two_ranks(body):
    values = [result.value for result in SimulatedWorld(2).run(body)]
    assert values[0] == values[1]
    return values[0]


@pytest.mark.parametrize("workload", [*WORKLOADS.values(), PARALLEL["dtensor"], PARALLEL["nested-stateful"]], ids=lambda workload: workload.name)
def test_a_load_target_has_the_layout_of_the_loaded_state(workload: Workload) -> None:
    """Its tensors at least: objects that are not loaded yet are of another class."""

    def compare() -> list[str]:
        loaded = dataclasses.replace(context_here(1, 2), loading=True)
        return [line for line in relaid(workload.make(context_here(None, 2)), workload.make(loaded)) if not line.endswith(("int", "list"))]

    assert _on_two_ranks(compare) == []


def test_other_placements_of_a_tensor_are_reported() -> None:
    """The workload is loaded with other placements than it is saved with, for each of its three tensors."""

    def compare() -> list[str]:
        saved = context_here(1, 2)
        return relaid(PARALLEL["dtensor"].make(saved), PARALLEL["dtensor"].make(dataclasses.replace(saved, loading=True)))

    lines = _on_two_ranks(compare)
    assert [line.partition(":")[0] for line in lines] == ["line", "plane", "gathered"]
    assert "(Shard(dim=0),) on a mesh of (2,) instead of DTensor torch.float64 (5, 3) as (Shard(dim=1),)" in lines[0]


def test_other_shards_of_a_tensor_are_reported() -> None:
    """By their offsets and sizes."""

    def compare() -> list[str]:
        return relaid(WORKLOADS["sharded"].make(context_here(1, 3)), WORKLOADS["sharded"].make(context_here(1, 2)))

    values = [result.value for result in SimulatedWorld(2).run(compare)]
    assert [len(lines) for lines in values] == [1, 1]
    assert "shards [(5, (4,))] instead of ShardedTensor torch.float64 (6,) with shards [(3, (3,))]" in values[1][0]


def test_a_plain_tensor_in_place_of_a_sharded_tensor_is_reported() -> None:
    """Whatever its values."""
    whole = torch.zeros(6, dtype=torch.float64)

    def compare() -> list[str]:
        return relaid({"sharded": whole}, WORKLOADS["sharded"].make(context_here(1, 2)))

    assert all(
        result.value[0].startswith("sharded: torch.float64 (6,) instead of ShardedTensor") for result in SimulatedWorld(2).run(compare)
    )
