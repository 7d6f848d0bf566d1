"""A wrapper refuses a plan that could never act in it."""

from __future__ import annotations

from typing import Any

import pytest
import torch.distributed.checkpoint as dcp
from storage_doubles import MemoryReader, MemoryWriter

from ckpt_harness import FaultPlan, FaultyLoadPlanner, FaultySavePlanner, FaultyStorageReader, FaultyStorageWriter, PlanError

_WRITER = MemoryWriter()


@pytest.mark.parametrize(
    ("wrapper", "inner", "plan", "message"),
    [
        (FaultyStorageWriter, _WRITER, "reader.read_data@0=raise", "FaultyStorageReader or inject"),
        (FaultyStorageReader, MemoryReader(_WRITER), "write_data@0=raise", "FaultyStorageWriter or inject"),
        (FaultyStorageWriter, _WRITER, "save_planner.resolve_data@0=raise", "FaultySavePlanner or inject"),
        (FaultySavePlanner, dcp.DefaultSavePlanner(), "load_planner.load_bytes@0=raise", "FaultyLoadPlanner or inject"),
        (FaultyLoadPlanner, dcp.DefaultLoadPlanner(), "state.state_dict@0=raise", "FaultyStateful or inject"),
        (FaultyStorageWriter, _WRITER, "pg.gather@0=raise", "only there can collectives fail"),
        (FaultyStorageWriter, _WRITER, "async_save/write_data@0=raise", "cannot distinguish async_save from save"),
        (FaultyStorageWriter, _WRITER, "write_date@0=raise", "nearest: writer.write_data"),
        (FaultyStorageWriter, _WRITER, "write_data@0=raise(no.such.module.Error)", "cannot be imported"),
    ],
)
def test_the_refusal_names_the_wrapper_to_use(wrapper: Any, inner: Any, plan: str, message: str) -> None:
    """With the refused value."""
    with pytest.raises(PlanError, match=message):
        wrapper(inner, plan)


def test_a_rank_outside_the_launchers_world_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """``WORLD_SIZE`` is known before there is a process group."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    FaultyStorageWriter(_WRITER, "write_data@1=raise")
    with pytest.raises(PlanError, match="rank 2 is outside a world of 2; valid: 0 to 1"):
        FaultyStorageWriter(_WRITER, "write_data@2=raise")


def test_a_fault_that_strikes_nobody_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a world of one rank, there are no others. A test with such a fault would pass, and prove nothing."""
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(PlanError, match="strikes nobody"):
        FaultyStorageWriter(_WRITER, "write_data@others=raise")


def test_the_prefix_of_the_side_may_be_left_out() -> None:
    """``reset`` means the site of the wrapper's own side; a phase means its principal site."""
    for wrapper, inner, short, full in (
        (FaultyStorageWriter, _WRITER, "reset@0=raise", "writer.reset@0=raise"),
        (FaultyStorageReader, MemoryReader(_WRITER), "reset@0=raise", "reader.reset@0=raise"),
        (FaultySavePlanner, dcp.DefaultSavePlanner(), "finish_plan@0=raise", "save_planner.finish_plan@0=raise"),
        (FaultyStorageWriter, _WRITER, "write@0=raise", "writer.write_data@0=raise"),
    ):
        assert wrapper(inner, short).plan == FaultPlan.parse(full)
    assert FaultyStorageWriter(_WRITER).plan == FaultPlan()
