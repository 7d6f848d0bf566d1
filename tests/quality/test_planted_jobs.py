"""A job finds each bug that lives between operations, and the same job on the sound engine or manager violates nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import broken_between
import broken_managers
import pytest
from broken_managers import KeepingManager
from bugs_jobs import ENGINE_BUGS, MANAGER_BUGS, EngineBug, ManagerBug
from driving import drive

from ckpt_harness.jobs.model import Model
from ckpt_harness.jobs.oracles import JOB_ORACLES, judge_job
from ckpt_harness.jobs.rig import JobRig
from ckpt_harness.judging.verdict import Verdict

pytestmark = pytest.mark.usefixtures("silence")

ALONE = ["pairing", "commitment", "metadata", "purity", "filled", "recovery", "futures", "retention"]
"""Oracles of jobs that find a bug of an engine which no other oracle finds."""


@pytest.fixture(scope="module")
def rig() -> Iterator[JobRig]:
    with JobRig() as rig:
        yield rig


def _of_engine(bug: EngineBug, rig: JobRig) -> set[str]:
    """The oracles that find a bug of an engine."""
    result = rig.run(bug.job())
    assert result.verdict is Verdict.VIOLATED
    return {judgement.oracle for judgement in result.counting}


def _of_manager(manager: type[KeepingManager], bug: ManagerBug, root: Path) -> set[str]:
    """The oracles of jobs that find something in a manager's job."""
    judgements = judge_job(Model(drive(manager, bug.operations, bug.faults, root)))
    return {judgement.oracle for judgement in judgements if judgement.counts is not Verdict.HOLDS}


@pytest.mark.parametrize("bug", ENGINE_BUGS, ids=[f"{bug.engine.lower()} {' '.join(bug.caught_by)}" for bug in ENGINE_BUGS])
def test_a_job_shows_what_is_broken_between_operations(bug: EngineBug, rig: JobRig) -> None:
    """Found by the named oracles; the engine without the bug passes the same job."""
    assert set(bug.caught_by) <= _of_engine(bug, rig)
    assert rig.run(bug.job(sound=True)).verdict is Verdict.HOLDS


@pytest.mark.parametrize("oracle", ALONE)
def test_some_bugs_between_operations_are_found_by_one_oracle_only(oracle: str, rig: JobRig) -> None:
    """A bug that no other oracle finds, and no oracle of single operations."""
    assert {oracle} in [_of_engine(bug, rig) for bug in ENGINE_BUGS if bug.caught_by == (oracle,)]


@pytest.mark.parametrize("bug", MANAGER_BUGS, ids=[bug.manager for bug in MANAGER_BUGS])
def test_a_job_shows_what_is_broken_in_a_manager(bug: ManagerBug, tmp_path: Path) -> None:
    """Found by the named oracles of jobs; the sound manager passes the same job."""
    assert _of_manager(getattr(broken_managers, bug.manager), bug, tmp_path / "broken") >= set(bug.caught_by)
    assert _of_manager(KeepingManager, bug, tmp_path / "sound") == set()


def test_every_broken_engine_and_manager_has_its_job() -> None:
    """And every oracle of jobs finds a bug; except for ``fired``, which judges the job."""
    engines = {name for name, value in vars(broken_between).items() if name.isupper() and hasattr(value, "make_writer")}
    assert engines == {bug.engine for bug in ENGINE_BUGS}
    managers = {each.__name__ for each in vars(broken_managers).values() if isinstance(each, type) and issubclass(each, KeepingManager)}
    assert managers - {"KeepingManager"} == {bug.manager for bug in MANAGER_BUGS}
    assert len(engines) + len(MANAGER_BUGS) >= 15
    assert {oracle for bug in (*ENGINE_BUGS, *MANAGER_BUGS) for oracle in bug.caught_by} >= set(JOB_ORACLES) - {"fired"}
