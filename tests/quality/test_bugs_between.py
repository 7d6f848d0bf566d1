"""A job finds each bug that lives between operations: by the named oracles, and with the bug only."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from bugs_between import BUGS, BugOfJobs
from planting import OtherSourceError, planted

from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.places import Places
from ckpt_harness.jobs.result import JobResult
from ckpt_harness.jobs.rig import JobRig
from ckpt_harness.judging.verdict import Verdict

pytestmark = pytest.mark.usefixtures("silence")


@pytest.fixture(scope="module")
def rig() -> Iterator[JobRig]:
    with JobRig() as made:
        yield made


def _violated(result: JobResult) -> set[str]:
    return {judgement.oracle for judgement in result.counting if judgement.verdict is Verdict.VIOLATED}


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_a_job_finds_a_planted_bug(bug: BugOfJobs, rig: JobRig) -> None:
    """Exactly the named oracles are violated with the bug, and none without it."""
    job = Job.parse(bug.job, faults=bug.faults)
    rig.run(job).check()
    try:
        with planted(bug.edits):
            result = rig.run(job)
    except OtherSourceError as error:
        pytest.skip(f"this torch has another source: {error}")
    assert _violated(result) == bug.caught_by, result.complaints()


def _by_name(places: Places, busy: object) -> str | None:
    return max(places.committed(()), default=None)


def _newest_directory(places: Places, busy: object) -> str | None:
    return list(places.look(()))[-1]


@pytest.mark.parametrize(
    ("newest", "text", "faults", "oracles"),
    [
        (_by_name, "save b; save a; load latest", "", {"resume"}),
        (_newest_directory, "save a; save b; load latest", "save[2]/writer.finish@0=raise", {"resume", "retention"}),
    ],
)
def test_a_job_finds_a_trainer_that_resumes_from_the_wrong_place(
    newest: object, text: str, faults: str, oracles: set[str], rig: JobRig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last by name, and the newest directory, committed or not."""
    monkeypatch.setattr(Places, "newest", newest)
    assert _violated(rig.run(Job.parse(text, faults=faults))) == oracles


def test_a_job_finds_a_trainer_that_prunes_before_the_commit(rig: JobRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts directories, and so removes the last whole checkpoint behind a failed save."""
    monkeypatch.setattr(Places, "committed", lambda places, busy: list(places.look(())))
    assert _violated(rig.run(Job.parse("save a; save b; prune 1", faults="save[2]/writer.finish@0=raise"))) == {"retention"}
