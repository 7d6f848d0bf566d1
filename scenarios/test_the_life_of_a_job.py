"""Claim: whatever a job did before, its next save or load keeps what is owed. Saves, restarts, prunes and failures leave one whole newest checkpoint."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings

from ckpt_harness.cases.surroundings import silenced
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.rig import JobRig
from ckpt_harness.strategies import ckpt_jobs

pytestmark = pytest.mark.ckpt_runs_in("simulated")


@pytest.fixture(scope="module")
def jobs() -> Iterator[JobRig]:
    """Runs jobs."""
    with JobRig() as rig, silenced():
        yield rig


@given(job=ckpt_jobs(max_faults=0, max_operations=12))
def test_no_sequence_of_operations_breaks_a_claim(jobs: JobRig, job: Job) -> None:
    """Without any fault: saves to new and used places, in the background, restarts on other numbers of ranks, prunes, and changes of the state."""
    jobs.run(job).check()


@settings(max_examples=2 * settings.default.max_examples)
@given(job=ckpt_jobs(fault_classes=["error", "lost", "delay"], max_operations=10))
def test_a_job_that_goes_on_after_errors_keeps_what_is_owed(jobs: JobRig, job: Job) -> None:
    """Ranks catch every error and go on: they save again, load the latest, and restart."""
    jobs.run(job).check()


@given(job=ckpt_jobs(fault_classes=["death", "stall"], operations=["save", "load", "async", "wait", "restart"], max_faults=1))
def test_a_restarted_job_resumes_from_a_whole_checkpoint(jobs: JobRig, job: Job) -> None:
    """After ranks died or hung in the middle of anything, new ranks find the newest whole checkpoint, all of them the same."""
    jobs.run(job).check()
