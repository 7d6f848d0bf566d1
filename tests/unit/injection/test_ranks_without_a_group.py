"""Which rank a fault strikes in a process that a launcher numbered, with and without a process group."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import CheckpointException

from ckpt_harness import FaultyStorageWriter, OracleViolation, assert_propagated, inject
from ckpt_harness.errors import PlanError, UsageError

pytestmark = [
    pytest.mark.filterwarnings("ignore:torch.distributed is disabled"),
    pytest.mark.filterwarnings("ignore:Detected an existing checkpoint"),
]


@pytest.fixture
def group() -> Iterator[None]:
    """A process group of one rank, which is rank 0 of it."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def struck(plan: str, place: Path, *, by: str) -> CheckpointException | None:
    """The error of a save under the plan; None if the save succeeded."""
    writer = FaultyStorageWriter(dcp.FileSystemWriter(place), plan if by == "wrapper" else "")
    try:
        with inject(plan if by == "inject" else ""):
            dcp.save({"weight": torch.ones(2)}, storage_writer=writer)
    except CheckpointException as error:
        return error
    return None


@pytest.mark.parametrize("by", ["inject", "wrapper"])
@pytest.mark.parametrize(
    ("rank", "plan", "hit"),
    [
        (None, "write_data@0=raise", True),
        (None, "write_data@1=raise", False),
        ("", "write_data@0=raise", True),
        ("1", "write_data@0=raise", False),
        ("1", "write_data@1=raise", True),
        ("1", "write_data@all=raise", True),
        ("1", "finish@1=raise", True),
        ("1", "storage_meta@coordinator=raise", True),
        ("1", "storage_meta@others=raise", False),
    ],
)
def test_without_a_group_the_launchers_number_counts(
    rank: str | None, plan: str, hit: bool, by: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the rank is 0. Each such process coordinates its own save."""
    monkeypatch.delenv("RANK", raising=False)
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    assert (struck(plan, tmp_path, by=by) is not None) == hit


def test_with_a_group_the_rank_in_the_group_counts(group: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even if the launcher's number is another: rank 0 is struck, and rank 1 is outside this world."""
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert struck("write_data@0=raise", tmp_path, by="inject")
    with pytest.raises(PlanError, match="rank 1 is outside a world of 1"):
        struck("write_data@1=raise", tmp_path, by="inject")


@pytest.mark.parametrize("plan", ["write_data@1=raise(OSError:EIO)", "finish@1=raise", "finish@coordinator=raise", "write_data@0,1=raise"])
def test_the_error_of_a_process_without_a_group_is_recognised(plan: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine reports its only rank as rank 0, and the injected error names the launcher's number."""
    monkeypatch.setenv("RANK", "1")
    error = struck(plan, tmp_path, by="inject")
    assert error is not None
    assert_propagated(error, plan)


def test_an_error_that_blames_another_rank_is_refused_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process alone has no rank 1; and the error of another process proves nothing about this one."""
    monkeypatch.setenv("RANK", "1")
    error = struck("write_data@1=raise", tmp_path, by="inject")
    assert error is not None
    wrong: dict[int, Any] = {2: error.failures[0]}
    with pytest.raises(OracleViolation, match="blames ranks"):
        assert_propagated(CheckpointException("write", wrong), "write_data@1=raise")
    with pytest.raises(OracleViolation, match="blames ranks"):
        assert_propagated(error, "write_data@2=raise")


@pytest.mark.parametrize("variable", ["RANK", "WORLD_SIZE"])
def test_a_number_that_is_none_is_refused_before_anything_runs(variable: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In one line, with the variable and its value."""
    monkeypatch.setenv(variable, "one")
    with pytest.raises(UsageError, match=f"environment variable {variable}='one' is not a number"):
        struck("write_data@0=raise", tmp_path, by="inject")
