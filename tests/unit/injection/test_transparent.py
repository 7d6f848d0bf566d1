"""With an empty plan, a wrapper changes nothing."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed.checkpoint as dcp
from storage_doubles import KwargsReader, KwargsWriter, MemoryReader, MemoryWriter, StagingWriter, blank, state

from ckpt_harness import FaultyLoadPlanner, FaultySavePlanner, FaultyStager, FaultyStorageReader, FaultyStorageWriter
from ckpt_harness.injection.storage import AsyncStager

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled")


def _save(kind: str, writer: Any, **options: Any) -> None:
    result = getattr(dcp, kind)(state(), storage_writer=writer, no_dist=True, **options)
    if kind == "async_save":
        result.result(timeout=60)


@pytest.mark.parametrize("kind", ["save", "async_save"])
@pytest.mark.parametrize("writer", [MemoryWriter, KwargsWriter, StagingWriter])
def test_the_inner_writer_gets_the_same_calls(writer: Any, kind: str) -> None:
    """The same names, order and arguments as without a wrapper, for every kind of writer that DCP distinguishes."""
    bare, wrapped = writer(), writer()
    _save(kind, bare)
    _save(kind, FaultyStorageWriter(wrapped))
    for thread in ("caller", "executor"):
        assert [call for call in wrapped.calls if call[0] == thread] == [call for call in bare.calls if call[0] == thread]
    assert wrapped.data.keys() == bare.data.keys()


@pytest.mark.parametrize("reader", [MemoryReader, KwargsReader])
def test_the_inner_reader_gets_the_same_calls(reader: Any) -> None:
    """As for writers; and the loaded state equals the saved state."""
    written = MemoryWriter()
    _save("save", written)
    bare, wrapped = reader(written), reader(written)
    dcp.load(blank(), storage_reader=bare, no_dist=True)
    loaded = blank()
    dcp.load(loaded, storage_reader=FaultyStorageReader(wrapped), no_dist=True)
    assert wrapped.calls == bare.calls
    assert torch.equal(loaded["weight"], state()["weight"])
    assert loaded["extra"] == state()["extra"]


@pytest.mark.parametrize("kind", ["save", "async_save"])
def test_a_file_system_checkpoint_has_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """Every file, ``.metadata`` included, with a fixed UUID in it."""
    monkeypatch.setattr(uuid, "uuid4", lambda: uuid.UUID(int=7))
    place = tmp_path / "checkpoint"
    stored = []
    for wrap in (lambda writer: writer, FaultyStorageWriter):
        _save(kind, wrap(dcp.FileSystemWriter(place)), planner=dcp.DefaultSavePlanner())
        stored.append({path.name: path.read_bytes() for path in place.iterdir()})
        shutil.rmtree(place)
    assert stored[0] == stored[1]
    assert ".metadata" in stored[0]


def test_planners_and_stagers_are_transparent_too(tmp_path: Path) -> None:
    """A state that was staged, planned, written and read through wrappers comes back equal."""
    stager = FaultyStager(StagingWriter())
    future = dcp.async_save(
        state(),
        storage_writer=FaultyStorageWriter(dcp.FileSystemWriter(tmp_path)),
        planner=FaultySavePlanner(dcp.DefaultSavePlanner()),
        async_stager=stager,
        no_dist=True,
    )
    future.result(timeout=60)
    loaded = blank()
    reader, planner = FaultyStorageReader(dcp.FileSystemReader(tmp_path)), FaultyLoadPlanner(dcp.DefaultLoadPlanner())
    dcp.load(loaded, storage_reader=reader, planner=planner, no_dist=True)
    assert torch.equal(loaded["weight"], state()["weight"])
    assert isinstance(stager, AsyncStager)


def test_plan_caches_of_the_inner_planner_keep_working() -> None:
    """DCP caches plans by the planner's class; a wrapped planner uses the caches of the inner class."""
    caches = [cache for name, cache in vars(dcp.SavePlanner).items() if name.startswith("_cached_")]
    before = [dict(cache) for cache in caches]
    try:
        for expected in (True, False):
            planner = FaultySavePlanner(dcp.DefaultSavePlanner(enable_plan_caching=True))
            planner.set_up_planner(state_dict=state(), storage_meta=None, is_coordinator=True)
            plan = planner.create_local_plan()
            assert plan.usable is expected
            plans, _ = planner.create_global_plan([plan])
            assert planner.finish_plan(plans[0]).items
    finally:
        for cache, content in zip(caches, before, strict=True):
            cache.clear()
            cache.update(content)
