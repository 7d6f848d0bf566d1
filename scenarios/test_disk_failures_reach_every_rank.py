"""Claim: every rank learns of a failed system call, all ranks wait for a slow disk, and a rank that dies in a system call damages no checkpoint."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_harness import Case, FaultPlan
from ckpt_harness.faults.effects import Delay, DiskError, Hang, Kill, NoSpace
from ckpt_harness.strategies import bound_plans, disk_sites, fault_plans, guarded_sites
from ckpt_harness.workloads.workload import WORKLOADS

pytestmark = pytest.mark.ckpt_runs_in("simulated", "processes")


@pytest.mark.parametrize("operation", ["save", "load"])
@given(data=st.data())
def test_every_rank_learns_of_a_failed_system_call(ckpt_rig, operation, data):
    """Any system calls fail with any error: all ranks succeed, or all ranks fail and name the right ranks; a committed checkpoint is whole."""
    effects = (DiskError, NoSpace) if operation == "save" else (DiskError,)
    bound = data.draw(bound_plans(op=operation, sites=disk_sites(operation), max_faults=3, effects=effects), label="failures")
    workload = data.draw(st.sampled_from(sorted(WORKLOADS)), label="workload")
    ckpt_rig.check(Case(bound.plan, operation, bound.world_size, bound.coordinator, workload=workload))


@pytest.mark.ckpt_runs_in("simulated")  # where a delay of an hour takes no real time
@pytest.mark.parametrize("operation", ["save", "load"])
@given(data=st.data())
def test_a_slow_disk_is_waited_for(ckpt_rig, operation, data):
    """Within the group's timeout all ranks wait, also if other ranks raise errors; beyond it, every rank fails."""
    bound = data.draw(bound_plans(op=operation, sites=disk_sites(operation), max_faults=3, effects=(Delay, DiskError)), label="failures")
    ckpt_rig.check(Case(bound.plan, operation, bound.world_size, bound.coordinator))


@given(data=st.data())
def test_nothing_is_committed_if_a_rank_is_lost_in_a_system_call(ckpt_rig, data):
    """If a rank is killed or hangs in a system call, no rank reports success, and there is no commit marker."""
    bound = data.draw(bound_plans(op="save", sites=disk_sites("save"), max_faults=1, effects=(Kill, Hang)), label="failures")
    ckpt_rig.check(Case(bound.plan, "save", bound.world_size, bound.coordinator))


@given(data=st.data())
def test_a_storage_method_and_a_system_call_may_both_fail(ckpt_rig, data):
    """A storage method fails on one rank, and a system call on another or on the same rank."""
    above = data.draw(fault_plans(ranks=3, sites=guarded_sites("save"), max_faults=1, errors=("OSError:EIO", "ValueError")), label="above")
    below = data.draw(fault_plans(ranks=3, sites=disk_sites("save"), max_faults=1, effects=(DiskError,)), label="below")
    ckpt_rig.check(Case(FaultPlan((*above, *below)), "save", 3))


@pytest.mark.parametrize("engine", ["filesystem-threads", "filesystem-synced"])
@given(data=st.data())
def test_other_configurations_of_the_writer_keep_the_same_claims(ckpt_rig, engine, data):
    """With ``sync_files=True``, and with ``thread_count=4``."""
    plan = data.draw(fault_plans(ranks=2, sites=("fs.mkdir", "fs.rename", "fs.exists"), max_faults=2, effects=(DiskError,)), label="failures")
    ckpt_rig.check(Case(plan, "save", 2, engine=engine))


@pytest.mark.parametrize("plan", ["fs.fsync(*.distcp)@1=diskerror(EIO)", "fs.fsync(.metadata.tmp)@coordinator=diskerror(EIO)", "fs.fsync@0=hang"])
def test_a_failed_fsync_fails_the_save(ckpt_rig, plan):
    """An fsync error means that bytes may be lost: it is reported like any other error, and the same ranks can try again."""
    ckpt_rig.check(Case(FaultPlan.parse(plan), "save", 2, engine="filesystem-synced"))


@pytest.mark.parametrize("errno", ["EIO", "ENOSPC", "EXDEV", "EROFS"])
@pytest.mark.parametrize("when", ["", "!after"])
def test_a_failed_rename_fails_the_save(ckpt_rig, errno, when):
    """Before or after the rename has acted; in the second case the checkpoint exists and is whole."""
    ckpt_rig.check(Case(FaultPlan.parse(f"fs.rename@coordinator{when}=diskerror({errno})"), "save", 3, coordinator=1))
