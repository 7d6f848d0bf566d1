"""Every site of every wrapper fails where the plan says so, and nowhere else."""

from __future__ import annotations

import contextlib
import errno
from concurrent.futures import Future
from typing import Any

import pytest
import torch.distributed.checkpoint as dcp
from storage_doubles import KwargsReader, KwargsWriter, MemoryWriter, StagingWriter, blank, state
from torch.distributed.checkpoint import CheckpointException
from torch.distributed.checkpoint.staging import BlockingAsyncStager

from ckpt_harness import (
    FaultPlan,
    FaultyLoadPlanner,
    FaultySavePlanner,
    FaultyStager,
    FaultyStateful,
    FaultyStorageReader,
    FaultyStorageWriter,
)
from ckpt_harness._torch import METADATA_ERRORS_ARE_QUOTED
from ckpt_harness.errors import InjectedFault
from ckpt_harness.faults.sites import SITES, Site
from ckpt_harness.injection.injector import Injector

pytestmark = pytest.mark.filterwarnings("ignore:torch.distributed is disabled")


def _cause(writer: Any) -> type[BaseException] | None:
    """The type of error that a save with ``writer`` reported for rank 0; None if the save succeeded."""
    try:
        dcp.save(state(), storage_writer=writer, no_dist=True)
    except CheckpointException as error:
        return type(error.failures[0][0])
    return None


class Box:
    """A ``Stateful``."""

    def __init__(self) -> None:
        self.content = {"count": 1}

    def state_dict(self) -> dict[str, Any]:
        return self.content

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.content = state_dict


def _run(faults: Injector) -> None:
    """An async save and a load through wrappers of everything."""
    writer, box = StagingWriter(), Box()
    saved = {**state(), "box": FaultyStateful.sharing(box, faults)}
    faulty_writer = FaultyStorageWriter.sharing(writer, faults)
    stager = FaultyStager.sharing(FaultyStorageWriter.sharing(StagingWriter(), faults), faults)
    planner = FaultySavePlanner.sharing(dcp.DefaultSavePlanner(), faults)
    future = dcp.async_save(saved, storage_writer=faulty_writer, planner=planner, async_stager=stager, checkpoint_id="any", no_dist=True)
    future.result(timeout=60)
    stager.close()
    loaded = {**blank(), "box": FaultyStateful.sharing(box, faults)}
    reader = FaultyStorageReader.sharing(_ReaderWithId(writer), faults)
    dcp.load(loaded, storage_reader=reader, planner=_WithBytes(dcp.DefaultLoadPlanner(), faults), checkpoint_id="any", no_dist=True)


class _ReaderWithId(KwargsReader):
    checkpoint_id = "any"


def _WithBytes(inner: Any, faults: Injector) -> Any:  # noqa: N802  (reads as a wrapper)
    """A load planner whose ``resolve_bytes`` is called too: DCP's own storages never call it."""

    class Asking(FaultyLoadPlanner):
        def load_bytes(self, item: Any, value: Any) -> Any:
            self.resolve_bytes(item)
            return super().load_bytes(item, value)

    inner.resolve_bytes = lambda item: None
    return Asking.sharing(inner, faults)


def _sites() -> list[Site]:
    """The sites of calls that wrappers report. Stagers in the background have a test of their own."""
    calls = [site for site in SITES.values() if site.layer == "calls" and site.side not in ("pg", "executor")]
    return [site for site in calls if site.name != "stager.stage.future"]


@pytest.mark.parametrize("site", _sites(), ids=lambda site: site.name)
def test_every_site_fails_where_the_plan_says_so(site: Site) -> None:
    """The caller sees the injected error, or a ``CheckpointException`` with the error as its cause."""
    faults = Injector(FaultPlan.parse(f"{site.name}@0#1x*={'failfuture(wait,OSError:EIO)' if site.is_future else 'raise(OSError:EIO)'}"))
    with pytest.raises((OSError, CheckpointException)) as caught:
        _run(faults)
    error = caught.value.failures[0][0] if isinstance(caught.value, CheckpointException) else caught.value
    if site.name == "reader.read_metadata" and not METADATA_ERRORS_ARE_QUOTED:
        assert isinstance(error, AssertionError)
    else:
        assert f"injected at {site.name} on rank 0" in str(error)
    assert faults.fired[0].rank == 0


@pytest.mark.parametrize("site", _sites(), ids=lambda site: site.name)
def test_a_fault_of_another_rank_does_not_fire(site: Site) -> None:
    """The same fault, addressed to rank 1: the operations succeed."""
    faults = Injector(FaultPlan.parse(f"{site.name}@1={'failfuture' if site.is_future else 'raise'}"))
    _run(faults)
    assert not faults.fired


class _InTheBackground(BlockingAsyncStager):
    def stage(self, state_dict: dict[str, Any]) -> Any:
        done: Future[Any] = Future()
        done.set_result(super().stage(state_dict))
        return done


@pytest.mark.parametrize(("rank", "fires"), [(0, True), (1, False)])
def test_the_future_of_a_staging_fails_where_the_plan_says_so(rank: int, fires: bool) -> None:
    """The engine waits for the future of the wrapper; without a fault for this rank, for the stager's own."""
    stager = FaultyStager(_InTheBackground(), f"stage.future@{rank}=failfuture(wait,OSError:EIO)", rank=0)
    response = dcp.async_save(state(), storage_writer=MemoryWriter(), async_stager=stager, no_dist=True)
    error = response.upload_completion.exception(timeout=60)
    assert (isinstance(error, OSError), bool(stager.fired)) == (fires, fires)


def test_after_means_that_the_call_has_acted() -> None:
    """The lost acknowledgement: the metadata is there, and the save fails."""
    writer = FaultyStorageWriter(MemoryWriter(), "finish@0!after=raise(OSError:EIO)")
    with pytest.raises(CheckpointException) as caught:
        dcp.save(state(), storage_writer=writer, no_dist=True)
    assert caught.value.failures[0][0].errno == errno.EIO
    assert writer.metadata is not None


def test_a_skipped_write_reports_success_and_stores_nothing() -> None:
    """The engine continues, and commits."""
    writer = FaultyStorageWriter(MemoryWriter(), "write_data@0=skip")
    dcp.save(state(), storage_writer=writer, no_dist=True)
    assert writer.data == {}
    assert writer.metadata is not None
    assert len(writer.fired) == 1


def test_occurrences_are_counted_over_the_life_of_a_wrapper() -> None:
    """The second save fails; the others pass. A wrapper infers the number of a save from the order of calls."""
    for plan in ("write_data@0#2=raise", "save[2]/write_data@0=raise"):
        writer = FaultyStorageWriter(MemoryWriter(), plan)
        assert [_cause(writer) for _ in range(3)] == [None, InjectedFault, None]
        assert [(firing.operation, firing.rank) for firing in writer.fired] == [("save[2]", 0)]


@pytest.mark.parametrize("is_coordinator", [True, False])
def test_the_engine_decides_which_rank_coordinates(is_coordinator: bool) -> None:
    """``@coordinator`` follows the argument of the set-up methods, already in that call, for storage and planners."""
    for wrapper, inner, site, args in (
        (FaultyStorageWriter, KwargsWriter(), "set_up_storage_writer", (is_coordinator,)),
        (FaultySavePlanner, dcp.DefaultSavePlanner(), "set_up_planner", ({}, None, is_coordinator)),
        (FaultyLoadPlanner, dcp.DefaultLoadPlanner(), "set_up_planner", ({}, None, is_coordinator)),
    ):
        faulty = wrapper(inner, f"{site}@coordinator=raise", rank=1)
        with pytest.raises(InjectedFault) if is_coordinator else contextlib.nullcontext():
            getattr(faulty, site)(*args)
        assert bool(faulty.fired) is is_coordinator


def test_two_wrappers_compose() -> None:
    """Both plans act: the outer plan first; the inner plan once the outer wrapper passes the call on."""
    inner = FaultyStorageWriter(MemoryWriter(), "finish@0#1=raise(OSError:EIO)")
    outer = FaultyStorageWriter(inner, "finish@0#1=raise(ValueError)")
    assert [_cause(outer) for _ in range(3)] == [ValueError, OSError, None]
    assert len(outer.fired) == len(inner.fired) == 1


def test_upstreams_failure_dictionary_drives_a_wrapper() -> None:
    """The dictionary form of DCP's own tests, where every attempt fails."""
    writer = FaultyStorageWriter(MemoryWriter(), FaultPlan.from_fail_conf({"fail_write_data_async": [0]}, side="writer"))
    for _ in range(2):
        with pytest.raises(CheckpointException) as caught:
            dcp.save(state(), storage_writer=writer, no_dist=True)
        assert type(caught.value.failures[0][0]) is ValueError
