"""``ckpt_world`` on processes: a function of the test runs in the process of each rank, and faults strike there."""

from __future__ import annotations

import os

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import CheckpointException
from torch.distributed.checkpoint.api import _wrap_exception as wrap_exception

from ckpt_harness import OracleViolation, PlanError
from ckpt_harness.errors import UsageError

pytestmark = pytest.mark.ckpt_runs_in("processes")


def save_once(place):
    dcp.save({"weight": torch.ones(3)}, checkpoint_id=place, storage_writer=dcp.FileSystemWriter(place, sync_files=False))
    return dist.get_rank(), os.getpid()


def save_and_keep_quiet(place):
    try:
        save_once(place)
    except CheckpointException:
        if dist.get_rank() == 0:
            raise


def fail(place):
    save_once(place)
    error = CheckpointException("write", {0: wrap_exception(ValueError("sent"))})
    error.handle = lambda: None
    raise error


def surroundings():
    return torch.get_num_threads(), os.environ.get("CKPT_TEST_OF_SURROUNDINGS")


@pytest.mark.ckpt_ranks(3)
def test_every_rank_is_a_process_of_its_own(ckpt_world, tmp_path):
    """Their ranks are those of the world."""
    values = ckpt_world.run(save_once, tmp_path).values
    assert [rank for rank, _ in values] == [0, 1, 2]
    assert len({os.getpid(), *(pid for _, pid in values)}) == 4


def test_ranks_have_one_thread_and_the_environment_of_the_test(ckpt_world, monkeypatch):
    """The environment of now, not of when the processes were forked."""
    ckpt_world.run(surroundings)
    monkeypatch.setenv("CKPT_TEST_OF_SURROUNDINGS", "set by the test")
    assert ckpt_world.run(surroundings).values == ((1, "set by the test"),) * 2


@pytest.mark.ckpt_ranks(4)
def test_every_rank_raises(ckpt_world, tmp_path):
    """The example of the guide: one result for each rank, with the live exception; the struck rank reports which fault fired."""
    results = ckpt_world.run(save_once, tmp_path, plan="finish@coordinator=raise(OSError:EIO)")
    assert results.outcomes == ("raised",) * 4
    assert all(isinstance(result.error, CheckpointException) for result in results)
    assert [(firing.fault, firing.rank, firing.operation, firing.nth) for firing in results.fired] == [
        ("writer.finish@coordinator=raise(OSError:EIO)", 0, "save[1]", 1)
    ]
    results.assert_propagated()


def test_a_rank_that_raised_no_error_is_named(ckpt_world, tmp_path):
    """The assertion shows how each rank ended."""
    results = ckpt_world.run(save_and_keep_quiet, tmp_path, plan="write_data@1=raise")
    with pytest.raises(OracleViolation, match="rank 1 raised no error\nrank 0: raised "):
        results.assert_propagated()


@pytest.mark.ckpt_ranks(3)
def test_what_a_killed_rank_did_is_known(ckpt_world, tmp_path):
    """It reports the fault before it dies, and its peers see closed connections."""
    results = ckpt_world.run(save_once, tmp_path, plan="write_data@1=kill")
    assert results.outcomes == ("raised", "dead", "raised")
    assert [firing.rank for firing in results.fired] == [1]


def test_collectives_can_fail(ckpt_world, tmp_path):
    """Faults of the process group strike in the rank, too; the rank that waits for it hangs."""
    results = ckpt_world.run(save_once, tmp_path, plan="pg.all_gather@1=raise(ConnectionError)")
    assert results.outcomes == ("hung", "raised")
    assert results[0].wait.missing == (1,)


def test_effects_of_real_processes_can_be_planned(ckpt_world, tmp_path):
    """Simulated ranks refuse such an effect."""
    assert ckpt_world.run(save_once, tmp_path, plan="write_data@1=stop(0.2)").outcomes == ("returned", "returned")


def test_a_fault_that_never_fired_fails_the_test(ckpt_world, tmp_path):
    """The same rule as on simulated ranks."""
    with pytest.raises(OracleViolation, match=r"(?s)VACUOUS: reader.read_data@1=raise never fired on rank 1\nrank 0: returned"):
        ckpt_world.run(save_once, tmp_path, plan="read_data@1=raise")


def test_a_plan_that_cannot_fit_the_world_is_refused(ckpt_world, tmp_path):
    """Before any rank runs."""
    with pytest.raises(PlanError, match="rank 2"):
        ckpt_world.run(save_once, tmp_path / "untouched", plan="write_data@2=raise")
    assert not (tmp_path / "untouched").exists()


def test_a_body_that_cannot_be_sent_is_refused(ckpt_world):
    """The message names the function, and says what can be sent."""
    with pytest.raises(UsageError, match=r"body '.*<lambda>' and its arguments must pickle to reach the ranks; use a function at module level"):
        ckpt_world.run(lambda: None)


def test_an_error_that_cannot_be_sent_back_still_counts_as_raised(ckpt_world, tmp_path):
    """The rank raised it; only its cause cannot be checked here."""
    results = ckpt_world.run(fail, tmp_path)
    assert results.outcomes == ("raised", "raised")
    with pytest.raises(OracleViolation, match="UNKNOWN: the error of rank 0 cannot be pickled"):
        results.assert_propagated()
