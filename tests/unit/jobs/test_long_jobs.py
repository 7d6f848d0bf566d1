"""Long jobs stay small: what happened in a call is forgotten once the call was judged, unless it breaks a claim."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest

from ckpt_harness.jobs.job import Job, Life
from ckpt_harness.jobs.rig import JobRig
from ckpt_harness.jobs.running import JobRun

pytestmark = pytest.mark.usefixtures("silence")


@pytest.fixture(scope="module")
def rig() -> Iterator[JobRig]:
    with JobRig() as made:
        yield made


def _kept(rig: JobRig, job: Job) -> dict[str, int]:
    """Call -> how many events are kept of it once the job has ended."""
    return {call: len(single.history) for call, single in rig.run(job).evidence.single.items()}


def test_no_event_of_a_call_is_kept_that_succeeded(rig: JobRig) -> None:
    """Also of an async save, which is judged once it was waited for, and of a load by fresh ranks."""
    kept = _kept(rig, Job.parse("save a; async b group=own; save c; wait; load a; restart 3; load b ranks=1"))
    assert kept == dict.fromkeys(["save[1]", "async_save[1]", "save[2]", "load[1]", "load[2]"], 0)


def test_all_events_of_a_call_that_failed_as_it_had_to_are_kept(rig: JobRig) -> None:
    """The model asks whether it wrote, and the register whether it explains what a later call breaks."""
    kept = _kept(rig, Job.parse("save a; save a; save a", faults="save[2]/writer.finish@0=raise"))
    assert (kept["save[1]"], kept["save[3]"]) == (0, 0)
    assert kept["save[2]"] > 10


def test_all_events_of_a_violation_are_kept(rig: JobRig) -> None:
    """The register of findings tells violations apart by them."""
    result = rig.run(Job.parse("save a; load a", faults="save[1]/writer.reset@1=raise"))
    assert result.known
    assert len(result.evidence.single["save[1]"].history) > 10


def test_a_long_job_holds_no_more_events_at_any_moment_than_a_short_job(rig: JobRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the operation before, however many operations lie before that."""
    held: list[int] = []
    between = JobRun.between

    def counted(run: JobRun, life: Life, index: int) -> None:
        held.append(sum(len(events) for record in run.lives.values() for events in record.events.values()))
        between(run, life, index)

    monkeypatch.setattr(JobRun, "between", counted)
    rig.run(Job.parse("; ".join(["save a; load a"] * 2)))
    short, held[:] = max(held), []
    rig.run(Job.parse("; ".join(["save a; load a"] * 20)))
    assert max(held) == short


def test_the_garbage_of_a_long_life_is_collected(rig: JobRig, monkeypatch: pytest.MonkeyPatch) -> None:
    """An operation drops hundreds of objects in cycles, and leaves fewer than a hundred for good."""
    objects: dict[int, int] = {}
    between = JobRun.between

    def counted(run: JobRun, life: Life, index: int) -> None:
        objects[index] = len(gc.get_objects())
        between(run, life, index)

    monkeypatch.setattr(JobRun, "between", counted)
    rig.run(Job.parse("; ".join(["save a; load a"] * 51)))
    assert objects[100] - objects[50] < 50 * 100 < objects[99] - objects[50]
