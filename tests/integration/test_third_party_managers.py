"""Managers of checkpoints of other packages, each where its package is installed: docs/reference/managers.md says what was run."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.rig import JobRig
from ckpt_harness.judging.verdict import Verdict

pytestmark = pytest.mark.usefixtures("silence")
TNT = Path(__file__).parents[2] / "docs/examples/manager_of_torchtnt/tnt.py"
MANAGERS = {
    "torchtitan": ("torchtitan.components.checkpointer.dcp", {"manager": "torchtitan"}),
    "torchtitan-async": ("torchtitan.components.checkpointer.dcp", {"manager": "torchtitan-async"}),
    "torchtnt": ("torchtnt.framework.callbacks.dcp_saver", {"manager": f"{TNT}:Saver", "engine": f"{TNT}:ENGINE"}),
    "torchtnt, async": ("torchtnt.framework.callbacks.dcp_saver", {"manager": f"{TNT}:AsyncSaver", "engine": f"{TNT}:ENGINE"}),
}
"""Name -> the module that it needs, and how a job names it."""


@pytest.fixture(scope="module")
def rig() -> Iterator[JobRig]:
    with JobRig() as made:
        yield made


def _job(name: str, text: str, faults: str = "") -> Job:
    """A job with a manager, where its package can be imported."""
    module, names = MANAGERS[name]
    try:
        importlib.import_module(module)
    except ImportError as error:
        pytest.skip(f"{name} needs its package: {error}")
    return Job.parse(text, faults=faults, workload="replicated", **names)


@pytest.mark.parametrize("name", MANAGERS)
def test_a_manager_saves_resumes_and_removes_what_is_old(name: str, rig: JobRig) -> None:
    """On two ranks, then on three; a save that fails is passed over."""
    rig.run(_job(name, "save 8; save 9; save 10; load latest; restart 3; load latest; save 11", "save[4]/writer.finish@0=raise")).check()


@pytest.mark.parametrize("name", ["torchtitan-async", "torchtnt, async"])
def test_one_failed_async_save_ends_all_saves(name: str, rig: JobRig) -> None:
    """Until the restart: findings/torchtitan-one-failed-save-ends-all-saves.sh, and the same in torchtnt."""
    result = rig.run(_job(name, "save 8; async 9; wait; save 10", "async_save[1]/writer.write_data@1=raise"))
    assert {judgement.oracle for judgement in result.counting} == {"recovery", "agreement"}


@pytest.mark.parametrize("name", ["torchtnt", "torchtnt, async"])
def test_a_step_of_torchtnt_that_is_saved_twice_is_removed_twice(name: str, rig: JobRig) -> None:
    """findings/torchtnt-a-step-saved-twice-is-removed-twice.sh."""
    result = rig.run(_job(name, "save 8; save 8; save 9; save 10"))
    assert {judgement.oracle for judgement in result.counting} >= {"agreement", "undisturbed"}


def test_failed_async_saves_of_torchtitan_remove_the_last_checkpoint(rig: JobRig) -> None:
    """findings/torchtitan-failed-saves-remove-the-last-checkpoint.sh."""
    faults = "; ".join(f"async_save[{number}]/writer.write_data@1=raise" for number in (2, 3, 4))
    text = "async 8; wait; async 9; wait; restart; async 10; wait; restart; async 11; wait"
    result = rig.run(_job("torchtitan-async", text, faults))
    assert result.verdict is Verdict.VIOLATED
    assert "retention" in {judgement.oracle for judgement in result.counting}
