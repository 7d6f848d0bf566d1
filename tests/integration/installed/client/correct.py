"""A client's test module, of which a type checker says nothing. It takes torch's names from where torch defines them, as a strict checker insists."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch.distributed.checkpoint.api import CheckpointException
from torch.distributed.checkpoint.filesystem import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.state_dict_loader import load
from torch.distributed.checkpoint.state_dict_saver import save
from torch.distributed.checkpoint.storage import StorageReader, StorageWriter

import ckpt_harness
from ckpt_harness import (
    Case,
    Fault,
    FaultPlan,
    FaultyStorageReader,
    FaultyStorageWriter,
    PlanError,
    Raise,
    Rig,
    StorageConformance,
    assert_propagated,
    check_engine,
    inject,
)

STATE = {"weight": torch.arange(8.0)}
VERSION: str = ckpt_harness.__version__


def test_a_full_disk(tmp_path: Path) -> None:
    writer = FaultyStorageWriter(FileSystemWriter(tmp_path), "write_data@0=raise(OSError:ENOSPC)")
    with pytest.raises(CheckpointException) as caught:
        save(STATE, storage_writer=writer)
    assert_propagated(caught.value, writer.plan, world_size=1)
    rank: int = writer.fired[0].rank
    assert rank == 0


def test_a_broken_read(tmp_path: Path) -> None:
    save(STATE, checkpoint_id=tmp_path)
    reader = FaultyStorageReader(FileSystemReader(tmp_path), FaultPlan.parse("reader.read_data@0=raise(OSError:EIO)"))
    with pytest.raises(CheckpointException):
        load({"weight": torch.zeros(8)}, storage_reader=reader)


def test_a_training_loop(tmp_path: Path) -> None:
    with inject("save[2]/write@0=raise(OSError:EIO)") as faults, pytest.raises(CheckpointException):
        for step in range(2):
            save(STATE, checkpoint_id=tmp_path / f"step-{step}")
    assert faults.fired


def test_a_plan() -> None:
    faults: list[Fault] = list(FaultPlan.parse("writer.write_data@2=raise(OSError:EIO)"))
    assert isinstance(faults[0].effect, Raise)
    with pytest.raises(PlanError):
        FaultPlan.parse("writer.write_data@2=raise(OSError:EIO)").bind(2)


def test_a_case() -> None:
    with Rig() as rig:
        result = rig.run(Case(FaultPlan.parse("writer.write_data@1=raise(OSError:EIO)"), "save", 2))
    print(result.verdict.name, result.case.replay_line())


class TestMine(StorageConformance):
    capabilities = frozenset({"collectives"})

    def make_writer(self, place: str) -> StorageWriter:
        return FileSystemWriter(place)

    def make_reader(self, place: str) -> StorageReader:
        return FileSystemReader(place)


def check_by_name(engine: str) -> bool:
    return check_engine(engine, ranks=(2,)).ok
