"""A wrapper can be pickled, as a process-based async save does for every request, and its copies share their counts."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch.distributed.checkpoint as dcp
from storage_doubles import KwargsWriter, MemoryWriter, StagingWriter
from torch.distributed.checkpoint.staging import AsyncStager

from ckpt_harness import FaultyLoadPlanner, FaultySavePlanner, FaultyStorageWriter
from ckpt_harness.injection.wrapper import operation_of


def _twin(wrapper: Any) -> Any:
    return pickle.loads(pickle.dumps(wrapper))


@pytest.mark.parametrize("inner", [MemoryWriter(), KwargsWriter(), StagingWriter()])
def test_a_copy_is_the_same_kind_of_wrapper(inner: Any) -> None:
    """The plan survives, and so does being a stager."""
    wrapper = FaultyStorageWriter(inner, "finish@0=raise")
    twin = _twin(wrapper)
    assert type(twin) is type(wrapper)
    assert isinstance(twin, AsyncStager) is isinstance(inner, AsyncStager)
    assert twin.plan == wrapper.plan


def test_copies_count_together_and_the_original_knows_what_fired() -> None:
    """A fault on the second call fires in the second copy, not in the second call of each copy."""
    wrapper = FaultyStorageWriter(MemoryWriter(), "reset@0#2=raise")
    _twin(wrapper).reset()
    with pytest.raises(Exception, match=r"injected at writer\.reset"):
        _twin(wrapper).reset()
    _twin(wrapper).reset()
    assert [firing.operation for firing in wrapper.fired] == ["save[2]"]


def test_a_copy_made_by_a_rank_keeps_the_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """In every process: the process of an async save numbers ranks within the group that saves."""
    monkeypatch.setenv("WORLD_SIZE", "4")
    monkeypatch.setenv("RANK", "3")
    wrapper = FaultyStorageWriter(MemoryWriter(), "reset@3=raise")
    data = pickle.dumps(wrapper)
    monkeypatch.setenv("RANK", "0")
    with pytest.raises(Exception, match="on rank 3"):
        pickle.loads(data).reset()


def test_a_copy_made_by_a_launcher_finds_its_own_rank(monkeypatch: pytest.MonkeyPatch) -> None:
    """A launcher, which is no rank, pickles the arguments of its ranks."""
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    data = pickle.dumps(FaultyStorageWriter(MemoryWriter(), "reset@1=raise"))
    monkeypatch.setenv("RANK", "1")
    with pytest.raises(Exception, match="on rank 1"):
        pickle.loads(data).reset()


def test_planners_can_be_pickled() -> None:
    """They travel in the request of an async save too."""
    assert isinstance(_twin(FaultySavePlanner(dcp.DefaultSavePlanner(), "finish_plan@0=raise")), FaultySavePlanner)
    assert isinstance(_twin(FaultyLoadPlanner(dcp.DefaultLoadPlanner())), FaultyLoadPlanner)


def test_the_operation_that_a_wrapper_was_made_for_travels_with_it() -> None:
    """The save in the other process is no new operation."""
    wrapper = FaultyStorageWriter(MemoryWriter(), "finish@0=raise")
    bound = FaultyStorageWriter.sharing(MemoryWriter(), wrapper._faults.during("async_save[2]"))
    assert operation_of(_twin(bound)) == "async_save[2]"
    assert operation_of(_twin(wrapper)) is None
