"""Save plans of ranks that state wrong parts."""

from __future__ import annotations

import pytest
import torch
from injector_doubles import World, injector_of
from torch.distributed.checkpoint import DefaultSavePlanner
from torch.distributed.checkpoint.metadata import ChunkStorageMetadata, MetadataIndex, TensorProperties
from torch.distributed.checkpoint.planner import SavePlan, TensorWriteData, WriteItem, WriteItemType

SITE = "save_planner.create_local_plan"
WHOLE = DefaultSavePlanner()
WHOLE.set_up_planner({"weight": torch.zeros(2), "epoch": 3})


def _part(offsets: tuple[int, ...], sizes: tuple[int, ...]) -> WriteItem:
    chunk = ChunkStorageMetadata(torch.Size(offsets), torch.Size(sizes))
    return WriteItem(
        MetadataIndex("sharded", chunk.offsets), WriteItemType.SHARD, tensor_data=TensorWriteData(chunk, TensorProperties(), torch.Size((4, 6)))
    )


def _stated(kind: str, *items: WriteItem) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """(offsets, sizes) of the parts in the plan that a rank returns; the real plan stays as it is."""
    plan = SavePlan(list(items))
    injector = injector_of(f"{SITE}@0=wrong({kind})")
    wrong = injector.call(SITE, lambda: plan)
    assert injector.fired
    assert plan.items == list(items)
    chunks = [item.tensor_data.chunk for item in wrong.items if item.tensor_data is not None]
    assert [item.index.offset for item in wrong.items] == [chunk.offsets for chunk in chunks]
    return [(tuple(chunk.offsets), tuple(chunk.sizes)) for chunk in chunks]


@pytest.mark.parametrize(
    ("kind", "stated"),
    [("gap", []), ("overlap", [((0, 0), (4, 4))]), ("shift", [((0, 1), (4, 3))])],
)
def test_a_part_is_left_out_or_too_long_or_elsewhere(world: World, kind: str, stated: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> None:
    """In the dimension in which the tensor is split; the rank's other parts stay."""
    other = ((2, 3), (2, 3))
    assert _stated(kind, _part((0, 0), (4, 3)), _part(*other)) == [*stated, other]


@pytest.mark.parametrize(("kind", "stated"), [("overlap", ((0, 2), (4, 4))), ("shift", ((0, 2), (4, 3)))])
def test_the_last_part_reaches_towards_the_beginning(world: World, kind: str, stated: tuple[tuple[int, ...], tuple[int, ...]]) -> None:
    """Every part stays within the tensor, so that only the comparison with other ranks' parts shows that it is wrong."""
    assert _stated(kind, _part((0, 3), (4, 3))) == [stated]


@pytest.mark.parametrize("kind", ["gap", "overlap", "shift"])
def test_a_rank_without_parts_states_none_wrongly(world: World, kind: str) -> None:
    """Whole tensors, objects and empty parts stay as they are, and the fault does not fire."""
    for plan in (WHOLE.create_local_plan(), SavePlan([_part((4, 0), (0, 6))])):
        injector = injector_of(f"{SITE}@0=wrong({kind})")
        assert injector.call(SITE, lambda plan=plan: plan) is plan
        assert not injector.fired
