"""What the disk refuses, every rank learns; what is late is waited for; and a rank that dies at a system call takes nobody's checkpoint along."""

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
def test_every_rank_learns_of_what_the_disk_refuses(ckpt_rig, operation, data):
    """Whichever calls fail, by whatever error: all ranks succeed or all fail, of the right ranks, and what is committed is whole."""
    effects = (DiskError, NoSpace) if operation == "save" else (DiskError,)
    bound = data.draw(bound_plans(op=operation, sites=disk_sites(operation), max_faults=3, effects=effects), label="failures")
    workload = data.draw(st.sampled_from(sorted(WORKLOADS)), label="workload")
    ckpt_rig.check(Case(bound.plan, operation, bound.world_size, bound.coordinator, workload=workload))


@pytest.mark.ckpt_runs_in("simulated")  # where an hour costs nothing
@pytest.mark.parametrize("operation", ["save", "load"])
@given(data=st.data())
def test_a_slow_disk_is_waited_for(ckpt_rig, operation, data):
    """Within the group's timeout, beside other ranks' errors; beyond it, all are told."""
    bound = data.draw(bound_plans(op=operation, sites=disk_sites(operation), max_faults=3, effects=(Delay, DiskError)), label="failures")
    ckpt_rig.check(Case(bound.plan, operation, bound.world_size, bound.coordinator))


@given(data=st.data())
def test_nothing_is_committed_by_a_rank_that_is_lost_at_the_disk(ckpt_rig, data):
    """Killed or hung in a system call: nobody reports success, and no commit marker is left."""
    bound = data.draw(bound_plans(op="save", sites=disk_sites("save"), max_faults=1, effects=(Kill, Hang)), label="failures")
    ckpt_rig.check(Case(bound.plan, "save", bound.world_size, bound.coordinator))


@given(data=st.data())
def test_a_disk_may_fail_beside_its_storage(ckpt_rig, data):
    """A storage method fails on one rank and a disk on another."""
    above = data.draw(fault_plans(ranks=3, sites=guarded_sites("save"), max_faults=1, errors=("OSError:EIO", "ValueError")), label="above")
    below = data.draw(fault_plans(ranks=3, sites=disk_sites("save"), max_faults=1, effects=(DiskError,)), label="below")
    ckpt_rig.check(Case(FaultPlan((*above, *below)), "save", 3))


@pytest.mark.parametrize("engine", ["filesystem-threads", "filesystem-synced"])
@given(data=st.data())
def test_other_ways_of_writing_owe_the_same(ckpt_rig, engine, data):
    """With every file made durable, and with each rank writing on four threads."""
    plan = data.draw(fault_plans(ranks=2, sites=("fs.mkdir", "fs.rename", "fs.exists"), max_faults=2, effects=(DiskError,)), label="failures")
    ckpt_rig.check(Case(plan, "save", 2, engine=engine))


@pytest.mark.parametrize("plan", ["fs.fsync(*.distcp)@1=diskerror(EIO)", "fs.fsync(.metadata.tmp)@coordinator=diskerror(EIO)", "fs.fsync@0=hang"])
def test_a_failed_fsync_fails_the_save(ckpt_rig, plan):
    """An error of fsync means that bytes may be lost: it is told like any other, and the same ranks can try again."""
    ckpt_rig.check(Case(FaultPlan.parse(plan), "save", 2, engine="filesystem-synced"))


@pytest.mark.parametrize("errno", ["EIO", "ENOSPC", "EXDEV", "EROFS"])
@pytest.mark.parametrize("when", ["", "!after"])
def test_a_failed_rename_fails_the_save(ckpt_rig, errno, when):
    """Before it acted, and after: then the checkpoint is there, and whole."""
    ckpt_rig.check(Case(FaultPlan.parse(f"fs.rename@coordinator{when}=diskerror({errno})"), "save", 3, coordinator=1))
