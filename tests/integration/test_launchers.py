"""The wrappers and ``inject`` need no world of ours: the examples run under every launcher that users have."""

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
    """Writer, reader and ``inject``, on every rank: told exactly, or refused where the rank does not exist."""
    status, output = launch(LAUNCHERS[launcher], tmp_path)
    assert status == 0, output


def test_a_process_based_async_save_takes_its_faults_along(tmp_path: Path) -> None:
    """Wrapper and ``inject`` alike: copies in the other process count together with the original, which learns what fired."""
    status, output = launch(["process_async_save.py"], tmp_path)
    assert status == 0, output
