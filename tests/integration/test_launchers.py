"""The wrappers and ``inject`` need no world of ours: the examples of docs/how-to/adopt.md run under every launcher that users have."""

from __future__ import annotations

from pathlib import Path

import pytest
from launching import launch

LAUNCHERS = {
    "no group at all": ["no_group.py"],
    "torch.multiprocessing.spawn": ["spawned_ranks.py"],
    "torchrun": ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "torchrun_rank.py"],
    "MultiProcessTestCase": ["multi_process_case.py"],
}


@pytest.mark.parametrize("launcher", LAUNCHERS)
def test_the_examples_hold_under(launcher: str, tmp_path: Path) -> None:
    """Writer, reader and ``inject`` work on every rank: the report is exact, and a rank that does not exist is refused."""
    status, output = launch(LAUNCHERS[launcher], tmp_path)
    assert status == 0, output


_TORCHRUN = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]


def test_a_trainers_manager_is_tested_through_inject(tmp_path: Path) -> None:
    """A full disk on one rank: all ranks miss the same checkpoint, the pointer stays, and the next save succeeds."""
    status, output = launch([*_TORCHRUN, "check_full_disk.py", str(tmp_path / "run")], tmp_path)
    assert status == 0, output
    assert output.count("no checkpoint of step 4") == 2


def test_a_trainer_is_tested_by_the_environment_alone(tmp_path: Path) -> None:
    """A rank is killed in its third save, and the job ends; started again, it goes on after the second."""
    command = [*_TORCHRUN, "train.py", str(tmp_path / "run")]
    status, output = launch(command, tmp_path, CKPT_HARNESS_PLAN="save[3]/write@1=kill")
    assert status != 0, output
    assert "goes on after step 0" in output
    assert "done" not in output
    status, output = launch(command, tmp_path)
    assert status == 0, output
    assert "goes on after step 4" in output
    assert output.count("done: 6") == 2


def test_a_process_based_async_save_takes_its_faults_along(tmp_path: Path) -> None:
    """Wrapper and ``inject`` alike: copies in the other process count together with the original, which learns what fired."""
    status, output = launch(["process_async_save.py"], tmp_path)
    assert status == 0, output
