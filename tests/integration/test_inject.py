"""``inject``: faults in code that hides its storage, with the real engine and no process group."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import CheckpointException, async_save, load, save  # references taken before any inject()
from torch.distributed.checkpoint.staging import BlockingAsyncStager

from ckpt_harness import FaultyStorageWriter, PlanError, inject
from ckpt_harness.injection.activation import active

pytestmark = [
    pytest.mark.filterwarnings("ignore:torch.distributed is disabled"),
    pytest.mark.filterwarnings("ignore:Detected an existing checkpoint"),
]


@pytest.fixture(autouse=True)
def executors_have_ended() -> Iterator[None]:
    yield
    join_executors()


def join_executors() -> None:
    """Waits for the thread of an async save, which closes DCP's own stager shortly after the future is done."""
    for thread in threading.enumerate():
        if thread.name.startswith("AsyncCheckpointExecutor"):
            thread.join(timeout=60)


_SAVE_SITES = [
    "writer.reset",
    "writer.checkpoint_id",
    "writer.storage_meta",
    "writer.finish",
    "save_planner.resolve_data",
    "state.state_dict",
]


class Counter:
    def __init__(self, count: int = 0) -> None:
        self.count = count

    def state_dict(self) -> dict[str, Any]:
        return {"count": self.count}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.count = state_dict["count"]


def state() -> dict[str, Any]:
    return {"weight": torch.arange(4.0), "extra": [1, "two"], "counter": Counter(7)}


def blank() -> dict[str, Any]:
    return {"weight": torch.full((4,), float("nan")), "extra": None, "counter": Counter()}


def outcome(operation: Any, *args: Any, **kwargs: Any) -> str:
    """The error of rank 0; "" if the operation succeeded."""
    try:
        result = operation(*args, **kwargs)
        if hasattr(result, "result"):
            result.result(timeout=60)
    except (Exception, CheckpointException) as error:  # noqa: BLE001  (every injected error)
        return str(error.failures[0][0] if isinstance(error, CheckpointException) else error)
    return ""


def test_the_third_save_of_a_training_loop_fails(tmp_path: Path) -> None:
    """DCP resolves the storage from ``checkpoint_id``; the reference to ``save`` was imported before."""
    with inject("save[3]/write@0=raise(OSError:EIO)") as faults:
        errors = [outcome(save, state(), checkpoint_id=tmp_path / str(step)) for step in range(5)]
    assert [bool(error) for error in errors] == [False, False, True, False, False]
    assert "injected at writer.write_data on rank 0" in errors[2]
    assert [firing.operation for firing in faults.fired] == ["save[3]"]
    assert str(faults.plan) == "save[3]/writer.write_data@0=raise(OSError:EIO)"


@pytest.mark.parametrize("site", _SAVE_SITES)
@pytest.mark.parametrize("explicit", [True, False])
def test_a_save_fails_at_every_kind_of_site(tmp_path: Path, site: str, explicit: bool) -> None:
    """With a writer that the caller passes, and with a writer that DCP resolves; planners and state are wrapped too."""
    place: dict[str, Any] = {"checkpoint_id": tmp_path}
    if explicit:
        place["storage_writer"] = dcp.FileSystemWriter(tmp_path / "other")
    with inject(f"{site}@0=raise") as faults:
        assert f"injected at {site}" in outcome(save, state(), **place)
        assert outcome(save, state(), **place) == ""
    assert len(faults.fired) == 1
    assert (tmp_path / ".metadata").exists()


@pytest.mark.parametrize(
    "site", ["reader.reset", "reader.read_metadata", "reader.read_data", "load_planner.commit_tensor", "state.load_state_dict"]
)
def test_a_load_fails_at_every_kind_of_site(tmp_path: Path, site: str) -> None:
    """The next load fills the caller's own dict and objects: loading stays in place."""
    save(state(), checkpoint_id=tmp_path)
    with inject(f"load[1]/{site}@0#1x*=raise") as faults:
        assert f"injected at {site}" in outcome(load, blank(), checkpoint_id=tmp_path)
        target = blank()
        weight, counter = target["weight"], target["counter"]
        assert outcome(load, target, checkpoint_id=tmp_path) == ""
    assert faults.fired
    assert target["weight"] is weight
    assert torch.equal(weight, torch.arange(4.0))
    assert target["extra"] == [1, "two"]
    assert target["counter"] is counter
    assert counter.count == 7


@pytest.mark.parametrize("explicit", [True, False])
def test_the_save_inside_an_async_save_is_no_operation_of_its_own(tmp_path: Path, explicit: bool) -> None:
    """DCP runs it through ``save`` on a thread; it belongs to ``async_save[n]``."""
    with inject("async_save[2]/finish@0=raise; save[2]/finish@0=raise") as faults:
        errors = []
        for step in range(3):
            place = (
                {"storage_writer": dcp.FileSystemWriter(tmp_path / f"a{step}")} if explicit else {"checkpoint_id": tmp_path / f"a{step}"}
            )
            errors.append(outcome(async_save, state(), **place))
        errors += [outcome(save, state(), checkpoint_id=tmp_path / f"s{step}") for step in range(2)]
    assert [bool(error) for error in errors] == [False, True, False, False, True]
    assert [firing.operation for firing in faults.fired] == ["async_save[2]", "save[2]"]


def test_an_upload_keeps_its_operation_while_the_rank_continues(tmp_path: Path) -> None:
    """A load during the upload is another operation. Calls of the upload belong to the async save, also after the end of the block."""
    save(state(), checkpoint_id=tmp_path / "old")
    staged, go_on = threading.Event(), threading.Event()

    class Slow(dcp.FileSystemWriter):
        def prepare_local_plan(self, plan: Any) -> Any:
            staged.set()
            assert go_on.wait(timeout=60)
            return super().prepare_local_plan(plan)

    with inject("async_save[1]/finish@0=raise") as faults:
        future = async_save(state(), storage_writer=Slow(tmp_path / "new"))
        assert staged.wait(timeout=60)
        assert outcome(load, blank(), checkpoint_id=tmp_path / "old") == ""
    go_on.set()
    with pytest.raises(CheckpointException):
        future.result(timeout=60)
    assert [firing.operation for firing in faults.fired] == ["async_save[1]"]


@pytest.mark.parametrize("given", [True, False])
@pytest.mark.parametrize("site", ["stager.stage", "stager.close"])
def test_stagers_of_the_caller_and_of_dcp_fail(tmp_path: Path, site: str, given: bool) -> None:
    """DCP creates and closes a stager of its own where the caller passes no stager and the writer is no stager."""
    with inject(f"{site}@0=raise") as faults:
        stager = BlockingAsyncStager() if given else None
        error = outcome(async_save, state(), checkpoint_id=tmp_path, async_stager=stager)
        join_executors()
    if site == "stager.stage":
        assert "injected at stager.stage" in error
    assert bool(faults.fired) is (site == "stager.stage" or not given)


def test_inject_does_not_change_what_stages_an_async_save(tmp_path: Path) -> None:
    """A writer that the caller passes stages itself; for a writer that DCP resolves, DCP's own stager does."""
    reached = {}
    for name, place in (
        ("given", {"storage_writer": dcp.FileSystemWriter(tmp_path / "a")}),
        ("resolved", {"checkpoint_id": tmp_path / "b"}),
    ):
        with inject("writer.stage@0=delay(0.001); stager.stage@0=delay(0.001)") as faults:
            assert outcome(async_save, state(), **place) == ""
        reached[name] = [firing.fault.partition("@")[0] for firing in faults.fired]
    assert reached == {"given": ["writer.stage"], "resolved": ["stager.stage"]}


def test_the_deprecated_entries_are_operations_too(tmp_path: Path) -> None:
    """They are the only functions with a parameter for the coordinator."""
    with warnings.catch_warnings(), inject("save[2]/finish@coordinator=raise; load[1]/read_data@0=raise") as faults:
        warnings.simplefilter("ignore", FutureWarning)
        writer, plain = dcp.FileSystemWriter(tmp_path), {"weight": torch.ones(2)}
        errors = [outcome(dcp.save_state_dict, plain, writer, no_dist=True) for _ in range(2)]
        errors.append(outcome(dcp.load_state_dict, plain, dcp.FileSystemReader(tmp_path), no_dist=True))
    assert [bool(error) for error in errors] == [False, True, True]
    assert [firing.operation for firing in faults.fired] == ["save[2]", "load[1]"]


def test_plans_compose(tmp_path: Path) -> None:
    """Faults of the inner block act first, then faults of the outer block, then faults of the writer; each counts from its own beginning."""
    writer = FaultyStorageWriter(dcp.FileSystemWriter(tmp_path), "finish@0=raise(KeyError)")
    with inject("save[2]/finish@0=raise(ValueError)") as outer:
        first = outcome(save, state(), storage_writer=writer)
        with inject("save[1]/finish@0=raise(OSError:EIO)") as inner:
            second = outcome(save, state(), storage_writer=writer)
        third = outcome(save, state(), storage_writer=writer)
    assert "injected at writer.finish" in first
    assert "Input/output error" in second
    assert third == ""
    assert len(writer.fired) == len(inner.fired) == 1
    assert not outer.fired, "its occurrence was behind the inner block's fault"


def test_everything_is_restored_at_the_end_of_the_block(tmp_path: Path) -> None:
    """Also after an exception, and not before the last of several blocks has ended."""
    before = _entries()
    with contextlib.suppress(RuntimeError), inject("write_data@0=raise"):
        with inject("finish@0=raise"):
            assert _entries() != before
        assert _entries() != before
        raise RuntimeError
    assert _entries() == before
    assert active() == ()
    assert outcome(save, state(), checkpoint_id=tmp_path) == ""


def test_a_caught_error_keeps_no_fault_alive_after_the_block(tmp_path: Path) -> None:
    """The error holds the faulty file system, which knows the paths; a later save writes the same files, and its fsync is the caller's own."""
    with pytest.raises(CheckpointException) as caught, inject("fs.fsync@0#1x2=diskerror") as faults:
        save(state(), checkpoint_id=tmp_path)
    assert outcome(save, state(), checkpoint_id=tmp_path) == ""
    assert len(faults.fired) == 1
    assert caught.value.failures


@pytest.mark.parametrize(
    "plan", ["write_date@0=raise", "pg.gather@0=raise", "write_data@0=raise(no.such.module.Error)", "finish@all=raise"]
)
def test_a_bad_plan_touches_nothing(plan: str) -> None:
    """The error comes before a function is replaced."""
    before = _entries()
    with pytest.raises(PlanError), inject(plan):
        pytest.fail("entered")
    assert _entries() == before


def test_a_rank_outside_the_world_is_refused_by_the_first_operation_that_knows_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The block began before the size of the world was known."""
    with inject("write_data@2=raise"):
        monkeypatch.setenv("WORLD_SIZE", "2")
        with pytest.raises(PlanError, match="outside a world of 2"):
            save(state(), checkpoint_id=tmp_path)


@pytest.mark.parametrize(
    ("operation", "arguments"), [(save, {}), (load, {}), (save, {"checkpoint_id": "nowhere://else"}), (save, {"nonsense": 1})]
)
def test_wrong_calls_fail_as_without_inject(operation: Any, arguments: dict[str, Any]) -> None:
    """Without a storage, with an id that DCP cannot resolve, with an unknown argument: the error is DCP's own."""
    bare = outcome(operation, {}, **arguments)
    with inject(""):
        assert outcome(operation, {}, **arguments).split("'")[-1] == bare.split("'")[-1]
    assert bare


def test_fsspec_storage_is_resolved_and_wrapped() -> None:
    """DCP resolves two kinds of storage itself; this is the second."""
    with inject("save[2]/finish@0=raise; load[1]/read_data@0=raise") as faults:
        errors = [outcome(save, {"weight": torch.ones(2)}, checkpoint_id=f"memory://inject-{step}") for step in range(2)]
        errors.append(outcome(load, {"weight": torch.zeros(2)}, checkpoint_id="memory://inject-0"))
    assert [bool(error) for error in errors] == [False, True, True]
    assert len(faults.fired) == 2
    store = fsspec.filesystem("memory")
    store.rm([path for path in store.ls("/", detail=False) if path.startswith("/inject-")], recursive=True)


def _entries() -> list[Any]:
    """The functions that a call of a public entry may run: those in the closures of its decorators."""
    functions, waiting = [], [dcp.save, dcp.async_save, dcp.save_state_dict, dcp.load, dcp.load_state_dict]
    while waiting:
        function = waiting.pop()
        functions.append(function)
        with contextlib.suppress(AttributeError):
            waiting += [
                cell.cell_contents
                for cell in function.__closure__ or ()
                if callable(cell.cell_contents) and cell.cell_contents not in functions
            ]
    return [*functions, dcp.state_dict_saver.DefaultStager]
