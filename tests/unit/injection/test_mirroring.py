"""Before DCP calls a wrapper, DCP sees the signatures and attributes of the wrapped object."""

from __future__ import annotations

import copy
import inspect
from pathlib import Path
from typing import Any

import pytest
import torch.distributed.checkpoint as dcp
from storage_doubles import KwargsReader, KwargsWriter, MemoryReader, MemoryWriter, StagingWriter
from torch.distributed.checkpoint.staging import AsyncStager, BlockingAsyncStager, DefaultStager, StagingOptions
from torch.distributed.checkpoint.stateful import Stateful

from ckpt_harness import FaultyLoadPlanner, FaultySavePlanner, FaultyStager, FaultyStateful, FaultyStorageReader, FaultyStorageWriter
from ckpt_harness.errors import UsageError
from ckpt_harness.injection.wrapper import passing_on


class OldPlanner(dcp.DefaultSavePlanner):
    def set_up_planner(self, state_dict: Any, is_coordinator: bool) -> None:  # type: ignore[override]  # as before storage_meta
        super().set_up_planner(state_dict, None, is_coordinator)


@pytest.mark.parametrize(
    ("wrapper", "inner", "method"),
    [
        (FaultyStorageWriter, MemoryWriter(), "set_up_storage_writer"),
        (FaultyStorageWriter, StagingWriter(), "set_up_storage_writer"),
        (FaultyStorageReader, MemoryReader(MemoryWriter()), "set_up_storage_reader"),
        (FaultyStorageReader, MemoryReader(MemoryWriter()), "read_metadata"),
        (FaultyStorageReader, KwargsReader(MemoryWriter()), "read_metadata"),
        (FaultySavePlanner, dcp.DefaultSavePlanner(), "set_up_planner"),
        (FaultySavePlanner, OldPlanner(), "set_up_planner"),
        (FaultyLoadPlanner, dcp.DefaultLoadPlanner(), "set_up_planner"),
    ],
)
def test_signatures_that_dcp_inspects_are_the_inner_ones(wrapper: Any, inner: Any, method: str) -> None:
    """``kwargs`` and ``storage_meta`` appear exactly where the inner method has them, also through two wrappers."""
    expected = inspect.signature(getattr(inner, method))
    assert inspect.signature(getattr(wrapper(inner), method)) == expected
    assert inspect.signature(getattr(wrapper(wrapper(inner)), method)) == expected


@pytest.mark.parametrize(("inner", "stages"), [(MemoryWriter(), False), (KwargsWriter(), False), (StagingWriter(), True)])
def test_a_writer_is_a_stager_exactly_when_the_inner_one_is(inner: Any, stages: bool) -> None:
    """By inheritance, which every version of Python recognises. A wrapper that is no stager has no member of a stager."""
    wrapper = FaultyStorageWriter(FaultyStorageWriter(inner))
    assert isinstance(wrapper, AsyncStager) is stages
    assert (AsyncStager in type(wrapper).__mro__) is stages
    assert hasattr(wrapper, "stage") is stages
    assert isinstance(wrapper, dcp.StorageWriter)


def test_the_inner_stager_decides_whether_staging_is_synchronized() -> None:
    """``should_synchronize_after_execute`` decides whether ``async_save`` waits for the copy."""
    for inner in (StagingWriter(), BlockingAsyncStager()):
        wrapper = (FaultyStorageWriter if isinstance(inner, StagingWriter) else FaultyStager)(inner)
        assert wrapper.should_synchronize_after_execute is inner.should_synchronize_after_execute
        assert wrapper._synchronize_after_execute is inner._synchronize_after_execute


def test_checkpoint_id_is_there_exactly_when_the_inner_one_has_it(tmp_path: Path) -> None:
    """Present, it is read once per access. Absent, an access does not count as a call."""
    present, absent = FaultyStorageWriter(FaultyStorageWriter(KwargsWriter())), FaultyStorageWriter(MemoryWriter(), "checkpoint_id@0=raise")
    assert present.checkpoint_id == "memory"
    assert [name for _, name, *_ in present.calls] == ["checkpoint_id"]
    assert not hasattr(absent, "checkpoint_id")
    assert not absent.fired
    assert FaultyStorageReader(dcp.FileSystemReader(tmp_path)).checkpoint_id == tmp_path


def test_a_false_storage_stays_false() -> None:
    """DCP treats a storage that is false as a missing argument."""

    class Empty(MemoryWriter):
        def __bool__(self) -> bool:
            return False

    assert not FaultyStorageWriter(Empty())
    assert FaultyStorageWriter(MemoryWriter())


def test_attributes_that_are_no_sites_are_the_inner_objects(tmp_path: Path) -> None:
    """Reading, setting and deleting an attribute, and calling other methods."""
    inner = dcp.FileSystemWriter(tmp_path)
    wrapper = FaultyStorageWriter(inner)
    wrapper.path = tmp_path / "other"
    assert inner.path == wrapper.path == tmp_path / "other"
    wrapper.mark = 1
    assert inner.mark == 1
    del wrapper.mark
    assert not hasattr(inner, "mark")
    assert wrapper.validate_checkpoint_id(tmp_path) is True
    assert wrapper.fs is inner.fs
    with pytest.raises(AttributeError, match="nonsense"):
        _ = wrapper.nonsense


def test_a_method_of_a_newer_torch_is_answered_by_the_inner_object() -> None:
    """The default of torch's base class, which the wrapper inherits, does not run."""

    class NewerBase:
        def hook_of_a_newer_torch(self) -> str:
            return "base"

    newer = passing_on(NewerBase)(type("Newer", (FaultyStorageWriter, NewerBase), {}))
    assert newer(MemoryWriter()).hook_of_a_newer_torch() == "inner"


def test_wrappers_of_state_and_stagers_satisfy_torchs_protocols() -> None:
    """DCP checks ``isinstance`` of ``Stateful`` and ``AsyncStager`` before it calls."""
    stager = DefaultStager(StagingOptions(False, False, False, False))
    assert isinstance(FaultyStager(stager), AsyncStager)
    assert isinstance(FaultyStateful(_Counter()), Stateful)


def test_a_copy_of_a_wrapper_is_a_wrapper() -> None:
    """Special methods of the inner object stay hidden: they would return a copy without faults."""
    wrapper = FaultyStorageWriter(StagingWriter(), "finish@0=raise")
    for twin in (copy.copy(wrapper), copy.deepcopy(wrapper)):
        assert isinstance(twin, FaultyStorageWriter)
        assert isinstance(twin, AsyncStager)
        assert twin.plan == wrapper.plan


def test_an_object_that_is_no_storage_is_refused() -> None:
    """A reader in the wrapper for writers; a path."""
    with pytest.raises(UsageError, match=r"FaultyStorageWriter cannot wrap .* no write_data"):
        FaultyStorageWriter(MemoryReader(MemoryWriter()))
    with pytest.raises(UsageError, match="FaultyStorageReader cannot wrap '/checkpoint'"):
        FaultyStorageReader("/checkpoint")


class _Counter:
    def state_dict(self) -> dict[str, Any]:
        return {"count": 1}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.loaded = state_dict
