"""Tensors that state which parts of a whole they hold."""

from __future__ import annotations

from collections import Counter
from itertools import product

import pytest
import torch

from ckpt_harness._torch import CHECKPOINTABLE_TENSORS
from ckpt_harness.errors import UsageError
from ckpt_harness.workloads.checkpointable import checkpointable, stated_parts
from ckpt_harness.workloads.context import Context
from ckpt_harness.workloads.leaves import leaves
from ckpt_harness.workloads.workload import find_workload


def _state(rank: int, size: int, *, loading: bool, shards: int = 0) -> dict[str, torch.Tensor]:
    return checkpointable(Context(rank, size, save=2, grouped=True, shards=shards or size, loading=loading))


@pytest.mark.parametrize("loading", [False, True])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_the_parts_of_all_ranks_cover_each_element_once(size: int, loading: bool) -> None:
    """Also where more ranks load than there are columns, so that some hold nothing."""
    for name in ("padded", "interleaved"):
        covered: Counter[tuple[int, ...]] = Counter()
        for rank in range(size):
            for part in stated_parts(_state(rank, size, loading=loading)[name]):
                covered.update(product(*(range(first, first + length) for first, length in zip(part.offset, part.size, strict=True))))
        whole = vars(_state(0, size, loading=loading)[name])["global_shape"]
        assert covered == Counter(product(*map(range, whole)))


def test_a_rank_holds_two_parts_when_it_saves_and_one_when_it_loads() -> None:
    """So that a load takes pieces of every rank's parts."""
    assert [len(stated_parts(_state(1, 2, loading=loading)["interleaved"])) for loading in (False, True)] == [2, 1]


def test_the_values_of_a_part_are_those_of_its_place_in_the_whole() -> None:
    """Whatever lies ahead of them in the buffer."""
    whole = checkpointable(Context(0, 1, save=2, grouped=False, shards=2))["padded"]
    ((name, part),) = leaves("", {"padded": _state(1, 2, loading=False)["padded"]})
    assert name == "padded@(4,)"
    assert torch.equal(part, whole[4:])


@pytest.mark.skipif(CHECKPOINTABLE_TENSORS, reason="this torch has CheckpointableTensor (2.14 and newer)")
def test_an_older_torch_refuses_the_workload() -> None:
    """It would save each rank's buffer as a whole tensor."""
    with pytest.raises(UsageError, match="needs torch 2.14 or newer, and this is torch 2"):
        find_workload("checkpointable")
