"""What of a job must be the same on simulated ranks and on processes."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from ckpt_harness.campaigns.compare_jobs import differing, simulated_twin
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.record import Broken, JobRecord
from ckpt_harness.judging.verdict import Verdict

AFTER = JobRecord(Job.parse("save a; async b; wait; load b", world="processes"), Verdict.HOLDS, known=("DCP-004",))
BESIDE = JobRecord(Job.parse("async a; save b; wait", world="processes"), Verdict.HOLDS, known=("DCP-042",))


@pytest.mark.parametrize(
    ("record", "changes", "differ"),
    [
        (AFTER, {}, ()),
        (AFTER, {"seconds": 3.0, "happened": ("rank 1 hung",)}, ()),
        (AFTER, {"known": ()}, ("known",)),
        (AFTER, {"verdict": Verdict.UNKNOWN}, ("verdict",)),
        (AFTER, {"verdict": Verdict.VIOLATED, "broken": (Broken("pairing", "save"),), "known": ()}, ("verdict", "claims", "known")),
        (BESIDE, {"known": ("DCP-020",)}, ()),
        (BESIDE, {"verdict": Verdict.VIOLATED, "broken": (Broken("pairing", "save"),)}, ("verdict", "claims")),
    ],
)
def test_verdicts_and_claims_must_agree_and_known_findings_of_calls_one_after_the_other(
    record: JobRecord, changes: dict[str, Any], differ: tuple[str, ...]
) -> None:
    """Which of two calls at once gets the messages of the other is up to the machine."""
    assert differing(record, dataclasses.replace(record, **changes)) == differ


def test_a_job_has_a_twin_on_simulated_ranks_unless_they_cannot_run_it() -> None:
    """An executor of async saves that is a process needs ranks that are processes."""
    twin = simulated_twin(AFTER.job)
    assert twin is not None
    assert (twin.world, twin.text) == ("simulated", AFTER.job.text)
    assert simulated_twin(Job.parse("async a executor=process", world="processes")) is None
