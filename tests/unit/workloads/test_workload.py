"""Workloads: saved values are recognised element by element, and unfilled entries are noticed."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from ckpt_harness.errors import UsageError
from ckpt_harness.workloads.context import UNFILLED, Context
from ckpt_harness.workloads.tags import Tag
from ckpt_harness.workloads.workload import PARALLEL, WORKLOADS, find_workload

ALONE = Context(rank=0, size=1, save=2, grouped=False, shards=3)
EMPTY = Context(rank=0, size=1, save=None, grouped=False, shards=3)


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_state_equals_itself_and_no_other_save(name: str) -> None:
    """Bit by bit, every entry of one save differs from every entry of another, and from an empty target."""
    workload = find_workload(name)
    other = Context(rank=0, size=1, save=3, grouped=False, shards=3)
    state = workload.make(ALONE)
    assert workload.mismatches(state, ALONE) == []
    assert len(workload.mismatches(state, other)) == len(workload.mismatches(workload.make(EMPTY), ALONE)) > 0


@pytest.mark.parametrize("name", WORKLOADS)
def test_an_empty_target_holds_nothing_of_a_save(name: str) -> None:
    """Tensors start as NaN and objects as a sentinel, so that entries show that a load does not fill."""
    lines = find_workload(name).mismatches(find_workload(name).make(EMPTY), ALONE)
    assert all("never filled" in line or UNFILLED in line for line in lines)


def test_a_mismatch_is_described() -> None:
    """The text has the number of wrong elements and what the first holds instead: a value of another save or rank, noise, or nothing."""
    workload = find_workload("replicated")
    state = workload.make(ALONE)
    tensor = state["replicated"]

    def shown() -> str:
        (line,) = workload.mismatches(state, ALONE)
        return line

    tensor[1] = float("nan")
    assert shown().startswith("replicated: 1 of 5 elements, first NaN (never filled) instead of Tag(save=2, rank=0, key=1, index=1)")
    tensor[1] = Tag(1, 0, 1, 1).encode()
    assert "first Tag(save=1, rank=0, key=1, index=1) instead of" in shown()
    tensor[1] = 0.5
    assert "first 0.5 instead of" in shown()
    tensor[1] = 1.0
    assert "first 1.0 instead of" in shown()
    tensor[1] = 0.0
    assert "first zero instead of" in shown()
    state["replicated"] = tensor[:3]
    assert "instead of torch.float64 (5,)" in shown()
    state["replicated"] = tensor.to(torch.float32)
    assert "torch.float32 (5,) instead of torch.float64 (5,)" in shown()
    state["replicated"] = None
    assert "NoneType" in shown()


def test_a_missing_entry_is_reported() -> None:
    """A loaded state with fewer entries is not equal."""
    workload = find_workload("nested")
    state = workload.make(ALONE)
    del state["model"]["layer"]
    assert workload.mismatches(state, ALONE) != []
    assert find_workload("mixed").mismatches({}, ALONE) != []


def test_an_unexpected_entry_is_reported() -> None:
    """A loaded state with more entries is not equal."""
    workload = find_workload("objects")
    assert workload.mismatches({**workload.make(ALONE), "surplus": 1}, ALONE) != []


def test_alone_the_sharded_entry_is_the_whole() -> None:
    """Without a process group, the entry holds the elements of all ranks that saved it."""
    assert find_workload("sharded").make(ALONE)["sharded"].shape == (9,)


def test_an_unknown_workload_is_refused_with_the_choices() -> None:
    """The message is a line with the value and the valid names."""
    with pytest.raises(UsageError, match="unknown workload 'huge'; valid: replicated, divergent, sharded, nested, kinds, objects, stateful, mixed"):
        find_workload("huge")


def test_diverged_values_come_back_as_some_rank_had_them() -> None:
    """Each entry must be that of a single rank, of the engine's choice; a mixture of two ranks is a mismatch."""
    workload = find_workload("divergent")
    theirs = workload.make(dataclasses.replace(ALONE, rank=2))
    assert workload.mismatches(theirs, ALONE) == []
    assert not torch.equal(theirs["diverged 0"], workload.make(ALONE)["diverged 0"])
    theirs["diverged 0"][:2] = workload.make(ALONE)["diverged 0"][:2]
    assert len(workload.mismatches(theirs, ALONE)) == 1
    assert len(workload.mismatches(theirs, dataclasses.replace(ALONE, save=3))) == 3


@pytest.mark.parametrize("name", WORKLOADS)
def test_a_state_shows_its_save_and_no_other(name: str) -> None:
    """Tensors by their tags, objects by their numbers; an empty target shows no save."""
    workload = find_workload(name)
    assert workload.saves(workload.make(ALONE)) == {2}
    assert workload.saves(workload.make(EMPTY)) == set()


def test_numbers_that_no_save_wrote_belong_to_no_save() -> None:
    """Zeros, small numbers, and False, which Python counts as a number."""
    for value in (0.0, 1.0, 5.0):
        assert find_workload("replicated").saves({"replicated": torch.full((5,), value, dtype=torch.float64)}) == set()
    assert find_workload("objects").saves({"epoch": True, "notes": [False, 0, -1]}) == set()


@pytest.mark.parametrize("name", PARALLEL)
def test_a_state_with_another_layout_for_loads_is_compared_as_loaded(name: str) -> None:
    """It equals its own save, and no other save or empty target."""
    workload, other = find_workload(name), dataclasses.replace(ALONE, save=3)
    loaded = workload.make(dataclasses.replace(ALONE, loading=True))
    assert workload.mismatches(loaded, ALONE) == []
    assert len(workload.mismatches(loaded, other)) == len(workload.mismatches(workload.make(EMPTY), ALONE)) > 0
    assert workload.saves(loaded) == {2}


def test_a_weight_that_was_not_multiplied_by_its_scales_is_seen() -> None:
    """The stored weight differs from the loaded one in every element, and float32 holds both exactly."""
    workload = find_workload("quantized")
    stored = workload.make(ALONE)
    del stored["layer.weight_scale_inv"]
    assert [line[:32] for line in workload.mismatches(stored, ALONE)] == ["layer.weight: 15 of 15 elements,"]
    loaded = workload.make(dataclasses.replace(ALONE, loading=True))["layer.weight"]
    for weight in (stored["layer.weight"], loaded):
        assert torch.equal(weight.to(torch.float32).to(torch.float64), weight)
