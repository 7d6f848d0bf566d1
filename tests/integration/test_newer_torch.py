"""What DCP gained after torch 2.13: flushes before each fsync, tensors that state their parts, and public storages for fsspec."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from ckpt_harness._torch import CHECKPOINTABLE_TENSORS, FLUSHES_BEFORE_FSYNC
from ckpt_harness.campaigns.crashes import crashes
from ckpt_harness.campaigns.recording import Scene, record
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.engines.base import Call
from ckpt_harness.engines.names import find_engine
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.judging.verdict import Verdict
from ckpt_harness.workloads.checkpointable import Part, state_parts, stated_parts
from ckpt_harness.workloads.context import context_here
from ckpt_harness.workloads.workload import find_workload
from ckpt_harness.worlds.simulated import SimulatedWorld

METADATA = "fs.flush(.metadata.tmp)@coordinator=diskerror"

needs_checkpointable = pytest.mark.skipif(not CHECKPOINTABLE_TENSORS, reason="this torch has no CheckpointableTensor (2.14 and newer)")


def test_a_failed_flush_of_the_metadata_fails_the_save_where_dcp_flushes() -> None:
    """Before torch 2.14, DCP never flushes the metadata, and the plan is vacuous like any other that matches no call."""
    with Rig() as rig:
        result = rig.run(Case(FaultPlan.parse(METADATA), engine="filesystem-synced"))
    assert result.verdict is (Verdict.HOLDS if FLUSHES_BEFORE_FSYNC else Verdict.VACUOUS), result.explain()


def test_bytes_of_the_metadata_reach_the_disk_before_its_fsync_where_dcp_flushes(tmp_path: Path) -> None:
    """Before torch 2.14 the synced file is empty, and its bytes follow when it is closed."""
    kinds = [op.kind for op in record(Scene(), tmp_path).ops if op.path.endswith(".metadata.tmp") and op.kind != "flush"]
    order = ["write", "fsync"] if FLUSHES_BEFORE_FSYNC else ["fsync", "write"]
    assert kinds == ["create", *order, "close", "rename"]


def test_a_power_cut_leaves_no_empty_metadata_where_dcp_flushes() -> None:
    """The directory is synced in no release, so a power cut may take the whole checkpoint away (DCP-034)."""
    left = set(crashes(Scene(), "ordered").points[-1].shown)
    assert left == ({"new", "nothing"} if FLUSHES_BEFORE_FSYNC else {"new", "nothing", "error"})


def test_the_storages_for_fsspec_are_imported_without_a_warning() -> None:
    """They became public in torch 2.15, where the module that they were in before is deprecated."""
    code = "from ckpt_harness._torch import FsspecFileSystem, FsspecReader, FsspecWriter; print(FsspecWriter.__module__)"
    ran = subprocess.run([sys.executable, "-W", "error::DeprecationWarning:torch", "-c", code], capture_output=True, text=True, timeout=120, check=True)
    public = "torch.distributed.checkpoint.fsspec_filesystem"
    try:
        __import__(public)
    except ImportError:
        public = "torch.distributed.checkpoint._fsspec_filesystem"
    assert (ran.stdout.strip(), ran.stderr) == (public, "")


@needs_checkpointable
@pytest.mark.parametrize("operation", ["save", "load"])
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_tensors_that_state_their_parts_come_back_bit_equal(operation: str, ranks: int) -> None:
    """Loaded in other parts than they were saved in, and by other numbers of ranks."""
    with Rig() as rig:
        result = rig.run(Case(operation=operation, ranks=ranks, workload="checkpointable"))  # type: ignore[arg-type]  # one of two literals
    assert (result.verdict, list(result.known)) == (Verdict.HOLDS, []), result.explain()


@needs_checkpointable
@pytest.mark.parametrize("kind", ["gap", "overlap", "shift"])
def test_parts_that_contradict_each_other_are_refused_on_every_rank(kind: str) -> None:
    """As a fault of a plan, which changes what a rank's planner says."""
    with Rig() as rig:
        result = rig.run(Case(FaultPlan.parse(f"save_planner.create_local_plan@1=wrong({kind})"), workload="checkpointable"))
    assert result.verdict is Verdict.HOLDS, result.explain()
    assert {outcome.kind for outcome in result.outcomes.values()} == {"raised"}


@needs_checkpointable
@pytest.mark.parametrize(
    ("parts", "named"),
    [([], 0), ([Part((3,), (1,), (4,))], 0), ([Part((0,), (1,), (4,))], 0), ([Part((5,), (1,), (4,))], 1), ([Part((4,), (2,), (4,))], 1)],
    ids=["missing", "overlapping", "of another rank", "outside the whole", "outside the buffer"],
)
def test_a_rank_whose_tensor_states_wrong_parts_is_refused(tmp_path: Path, parts: Sequence[Part], named: int) -> None:
    """The coordinator compares all parts, and each rank compares its own with the sizes of its buffer and of the whole."""
    engine, workload = find_engine("filesystem"), find_workload("checkpointable")

    def save() -> None:
        context = context_here(1, 2)
        tensor = workload.make(context)["padded"]
        if context.rank == 1:
            assert stated_parts(tensor) == [Part((4,), (1,), (4,))]
            state_parts(tensor, (8,), parts)
        engine.save({"padded": tensor}, engine.make_writer(str(tmp_path)), engine.make_save_planner("default"), str(tmp_path), Call())

    for result in SimulatedWorld(2).run(save):
        assert result.record is not None
        assert result.record.type_name.endswith("CheckpointException")
        assert list(result.record.failures or {}) == [named]
    assert not (tmp_path / ".metadata").exists()
