"""The oracles of a job: pure checks of what its operations did to each other. The oracles of single operations judge each call by itself.

Each oracle takes a :class:`ckpt_harness.jobs.oracles.base.Followed` job and gives judgements. None imports what runs a job. The first line of an oracle's
docstring is its claim. A new oracle is a function in the file of its topic, and a line in :data:`JOB_ORACLES`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from ckpt_harness.errors import UsageError, unknown
from ckpt_harness.jobs.evidence import JobEvidence
from ckpt_harness.jobs.oracles.base import Followed
from ckpt_harness.jobs.oracles.calls import futures, recovery
from ckpt_harness.jobs.oracles.loads import filled, purity, resume
from ckpt_harness.jobs.oracles.stored import metadata, pairing, retention
from ckpt_harness.judging.oracles.base import one_line
from ckpt_harness.judging.verdict import Judgement, Verdict

__all__ = ["JOB_ORACLES", "JobOracle", "job_claim", "judge_job"]

JobOracle = Callable[[Followed], Iterable[Judgement]]

JOB_ORACLES: dict[str, JobOracle] = {
    "pairing": pairing,
    "metadata": metadata,
    "purity": purity,
    "filled": filled,
    "resume": resume,
    "retention": retention,
    "recovery": recovery,
    "futures": futures,
}
"""Name -> oracle."""


def job_claim(oracle: str) -> str:
    """The claim that an oracle of a job checks, in one line.

    Raises:
        UsageError: no oracle has this name.

    Example:
        >>> job_claim("pairing")
        'A committed checkpoint holds what one call of every rank saved, and nothing of another call.'
    """
    if oracle not in JOB_ORACLES:
        raise UsageError(unknown("oracle of jobs", oracle, JOB_ORACLES))
    return (JOB_ORACLES[oracle].__doc__ or "").partition("\n")[0]


def judge_job(evidence: JobEvidence) -> list[Judgement]:
    """Asks every oracle of a job.

    Returns:
        All judgements. An oracle that crashes is UNKNOWN, never a pass, and so is an error of the harness.
    """
    followed = Followed(evidence)
    judgements = [Judgement("fired", Verdict.UNKNOWN, one_line([f"error inside the harness: {error}"])) for error in evidence.internal_errors]
    for name, oracle in JOB_ORACLES.items():
        try:
            judgements += oracle(followed)
        except Exception as error:  # noqa: BLE001  (whatever breaks in an oracle, the result is no pass)
            judgements.append(Judgement(name, Verdict.UNKNOWN, one_line([f"the oracle crashed: {type(error).__name__}: {error}"])))
    return judgements
