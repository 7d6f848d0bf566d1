"""A checkpoint as somebody reads it who finds it: by what its metadata says."""

from __future__ import annotations

import dataclasses
import pickle
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp

from ckpt_harness.cases.described import wrong_by_its_metadata
from ckpt_harness.engines.names import find_engine

pytestmark = pytest.mark.usefixtures("silence")

STATE = {"weight": torch.arange(16.0), "step": 7, "flag": torch.tensor(True), "empty": torch.zeros(0), "deep": {"counter": torch.tensor(3)}}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A committed checkpoint."""
    dcp.save(STATE, checkpoint_id=tmp_path / "a", no_dist=True)
    return tmp_path / "a"


def _wrong(place: Path) -> tuple[str, ...]:
    return wrong_by_its_metadata(find_engine("filesystem"), str(place))


def test_a_whole_checkpoint_is_what_its_metadata_says(place: Path) -> None:
    """Tensors of every kind, and objects."""
    assert _wrong(place) == ()


def test_a_name_that_is_longer_than_its_data_is_noticed(place: Path) -> None:
    """Although nobody asks for that name, and the load succeeds."""
    metadata = pickle.loads((place / ".metadata").read_bytes())
    entry = metadata.state_dict_metadata["weight"]
    metadata.state_dict_metadata["weight"] = dataclasses.replace(entry, size=torch.Size([40]))
    (place / ".metadata").write_bytes(pickle.dumps(metadata))
    assert _wrong(place) == ("weight: 24 of 40 elements are in the metadata, and were not loaded",)


def test_a_load_that_fails_is_told(place: Path) -> None:
    """With the error of the engine."""
    next(place.glob("*.distcp")).unlink()
    (wrong,) = _wrong(place)
    assert wrong.startswith("a load of all that its metadata names ")
    assert "FileNotFoundError" in wrong
