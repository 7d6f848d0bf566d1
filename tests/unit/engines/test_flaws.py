"""Contradictions inside a checkpoint on a file system."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp

from ckpt_harness.engines.dcp import flaws_of

pytestmark = pytest.mark.usefixtures("silence")


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    dcp.save({"weight": torch.ones(100), "epoch": 3}, storage_writer=dcp.FileSystemWriter(tmp_path, single_file_per_rank=False))
    return tmp_path


def test_a_whole_checkpoint_has_no_flaws(saved: Path) -> None:
    """Every chunk and every object lies within its file."""
    assert flaws_of(str(saved)) == []


def test_a_short_or_missing_file_is_reported(saved: Path) -> None:
    """The text has the entry, its expected place, and the state of the file."""
    first, second = sorted(saved.glob("*.distcp"))
    first.write_bytes(first.read_bytes()[:-1])
    second.unlink()
    flaws = sorted(flaws_of(str(saved)))
    assert len(flaws) == 2
    assert any("bytes long" in text for text in flaws)
    assert any("the file does not exist" in text for text in flaws)


def test_metadata_that_cannot_be_read_is_not_judged(tmp_path: Path) -> None:
    """Unreadable metadata is reported by loads."""
    (tmp_path / ".metadata").write_bytes(b"no pickle")
    assert flaws_of(str(tmp_path)) == []


def test_damaged_metadata_is_for_loads_to_report(saved: Path) -> None:
    """A flipped bit may rename an attribute, so that the metadata can be read, and lacks a part."""
    file = saved / ".metadata"
    file.write_bytes(file.read_bytes().replace(b"offset\x94", b"nffset\x94"))
    assert flaws_of(str(saved)) == []
