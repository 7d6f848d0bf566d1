"""``ckpt_world``: a function of the test on simulated ranks, with faults injected into whatever DCP saves and loads."""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from hypothesis import given
from torch.distributed.checkpoint import CheckpointException

from ckpt_harness import OracleViolation, PlanError, Raise
from ckpt_harness.strategies import fault_plans, guarded_sites


def save_once(place):
    dcp.save({"weight": torch.ones(3)}, checkpoint_id=place, storage_writer=dcp.FileSystemWriter(place, sync_files=False))
    return dist.get_rank()


@pytest.mark.ckpt_ranks(4)
def test_every_rank_raises(ckpt_world, tmp_path):
    """The example of the guide: one result for each rank, in rank order, with the live exception."""
    results = ckpt_world.run(save_once, tmp_path, plan="finish@coordinator=raise(OSError:EIO)")
    assert [result.rank for result in results] == [0, 1, 2, 3]
    assert results.outcomes == ("raised",) * 4
    assert all(isinstance(result.error, CheckpointException) for result in results)
    assert [firing.rank for firing in results.fired] == [0]
    results.assert_propagated()


def test_a_world_has_two_ranks_unless_the_mark_says_otherwise(ckpt_world, tmp_path):
    """And a function without faults returns its value."""
    assert ckpt_world.run(save_once, tmp_path).values == (0, 1)


def test_a_rank_that_raised_no_error_is_named(ckpt_world, tmp_path):
    """The assertion shows how each rank ended."""

    def save_and_keep_quiet():
        try:
            save_once(tmp_path)
        except CheckpointException:
            if dist.get_rank() == 0:
                raise

    results = ckpt_world.run(save_and_keep_quiet, plan="write_data@1=raise")
    with pytest.raises(OracleViolation, match="rank 1 raised no error\nrank 0: raised "):
        results.assert_propagated()


def test_a_hang_is_a_result(ckpt_world, tmp_path):
    """The hang is proved; the result says where the rank waits, and for which ranks."""
    results = ckpt_world.run(save_once, tmp_path, plan="writer.reset@1=raise")
    assert results.outcomes == ("hung", "raised")
    assert results[0].wait.missing == (1,)


def test_a_fault_that_never_fired_fails_the_test(ckpt_world, tmp_path):
    """A save reads nothing, so a test that injects into a read shows nothing; the message tells how the ranks ended."""
    with pytest.raises(OracleViolation, match=r"(?s)VACUOUS: reader.read_data@1=raise never fired on rank 1\nrank 0: returned"):
        ckpt_world.run(save_once, tmp_path, plan="read_data@1=raise")


def test_a_fault_of_a_call_that_comes_too_seldom_fails_the_test(ckpt_world, tmp_path):
    """There is one ``write_data`` in one save."""
    with pytest.raises(OracleViolation, match="#2=raise never fired on rank 0"):
        ckpt_world.run(save_once, tmp_path, plan="write_data@0#2=raise")


def test_an_optional_fault_need_not_fire(ckpt_world, tmp_path):
    """A fault is optional if it ends in a question mark."""
    assert ckpt_world.run(save_once, tmp_path, plan="read_data@1=raise?").outcomes == ("returned", "returned")


def test_a_fault_behind_an_earlier_failure_need_not_fire(ckpt_world, tmp_path):
    """After a failed write, no rank calls finish."""
    results = ckpt_world.run(save_once, tmp_path, plan="write_data@1=raise; finish@coordinator=raise")
    assert [firing.rank for firing in results.fired] == [1]


@pytest.mark.ckpt_ranks(3)
def test_a_plan_that_cannot_fit_the_world_is_refused(ckpt_world, tmp_path):
    """Before any rank runs."""
    with pytest.raises(PlanError, match="rank 3"):
        ckpt_world.run(save_once, tmp_path / "untouched", plan="write_data@3=raise")
    assert not (tmp_path / "untouched").exists()


def test_collectives_can_fail(ckpt_world, tmp_path):
    """Faults of the process group strike the collectives of the world."""
    results = ckpt_world.run(save_once, tmp_path, plan="pg.all_gather@1=raise(ConnectionError)")
    assert results.outcomes == ("hung", "raised")


@given(plan=fault_plans(ranks=2, sites=guarded_sites("save"), effects=(Raise,), errors=("OSError:EIO",)))
def test_worlds_may_be_made_under_given(ckpt_worlds, tmp_path_factory, plan):
    """The factory lives as long as the session, so hypothesis has nothing to object to."""
    results = ckpt_worlds(2).run(save_once, tmp_path_factory.mktemp("place"), plan=plan)
    if results.fired:
        results.assert_propagated()
