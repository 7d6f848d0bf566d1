"""A job finds each bug that lives between operations, and the same job on the sound engine or manager violates nothing."""

from __future__ import annotations

from collections.abc import Iterator

import broken_between
import broken_managers
import pytest
from bugs_jobs import ENGINE_BUGS, MANAGER_BUGS, EngineBug, ManagerBug

from ckpt_harness.jobs.managers.plain import PlainManager
from ckpt_harness.jobs.oracles import JOB_ORACLES
from ckpt_harness.jobs.rig import JobRig
from ckpt_harness.judging.verdict import Verdict

pytestmark = pytest.mark.usefixtures("silence")

ALONE = ["pairing", "commitment", "metadata", "purity", "filled", "recovery", "futures", "retention", "hygiene"]
"""Oracles of jobs that find a bug of an engine which no other oracle finds."""


@pytest.fixture(scope="module")
def rig() -> Iterator[JobRig]:
    with JobRig() as rig:
        yield rig


def _found_by(bug: EngineBug | ManagerBug, rig: JobRig) -> set[str]:
    """The oracles that find a bug."""
    result = rig.run(bug.job())
    assert result.verdict is Verdict.VIOLATED, result.complaints()
    return {judgement.oracle for judgement in result.counting}


@pytest.mark.parametrize("bug", ENGINE_BUGS, ids=[f"{bug.engine.lower()} {' '.join(bug.caught_by)}" for bug in ENGINE_BUGS])
def test_a_job_shows_what_is_broken_between_operations(bug: EngineBug, rig: JobRig) -> None:
    """Found by the named oracles; the engine without the bug passes the same job."""
    assert set(bug.caught_by) <= _found_by(bug, rig)
    assert rig.run(bug.job(sound=True)).verdict is Verdict.HOLDS


@pytest.mark.parametrize("oracle", ALONE)
def test_some_bugs_between_operations_are_found_by_one_oracle_only(oracle: str, rig: JobRig) -> None:
    """A bug that no other oracle finds, and no oracle of single operations."""
    assert {oracle} in [_found_by(bug, rig) for bug in ENGINE_BUGS if bug.caught_by == (oracle,)]


@pytest.mark.parametrize("bug", MANAGER_BUGS, ids=[bug.manager for bug in MANAGER_BUGS])
def test_a_job_shows_what_is_broken_in_a_manager(bug: ManagerBug, rig: JobRig) -> None:
    """Found by the named oracles; the sound manager passes the same job."""
    assert set(bug.caught_by) <= _found_by(bug, rig)
    rig.run(bug.job(sound=True)).check()


def test_every_broken_engine_and_manager_has_its_job() -> None:
    """And every oracle of jobs finds a bug; except for ``fired``, which judges the job."""
    engines = {name for name, value in vars(broken_between).items() if name.isupper() and hasattr(value, "make_writer")}
    assert engines == {bug.engine for bug in ENGINE_BUGS}
    managers = {each.__name__ for each in vars(broken_managers).values() if isinstance(each, type) and issubclass(each, PlainManager)}
    assert managers - {"PlainManager"} == {bug.manager for bug in MANAGER_BUGS}
    assert len(engines) + len(MANAGER_BUGS) >= 15
    assert {oracle for bug in (*ENGINE_BUGS, *MANAGER_BUGS) for oracle in bug.caught_by} >= set(JOB_ORACLES) - {"fired"}
