"""The oracles of a job: pure checks of what its operations did to each other. The oracles of single operations judge each call by itself.

Each oracle takes the :class:`ckpt_harness.jobs.model.Model` of a job, which holds the evidence, and gives judgements. None runs or injects anything. The
first line of an oracle's docstring is its claim. A new oracle is a function in the file of its topic, and a line in :data:`JOB_ORACLES`.
"""

from __future__ import annotations

from collections.abc import Iterator

from ckpt_harness.errors import UsageError, unknown
from ckpt_harness.jobs.model import Model
from ckpt_harness.jobs.oracles.alone import calls_alone
from ckpt_harness.jobs.oracles.base import JobOracle
from ckpt_harness.jobs.oracles.commitment import commitment
from ckpt_harness.jobs.oracles.futures import futures
from ckpt_harness.jobs.oracles.hygiene import hygiene
from ckpt_harness.jobs.oracles.isolation import isolation
from ckpt_harness.jobs.oracles.loaded import filled, purity
from ckpt_harness.jobs.oracles.metadata import metadata
from ckpt_harness.jobs.oracles.outcomes import agreement, fired, recovery
from ckpt_harness.jobs.oracles.pairing import pairing
from ckpt_harness.jobs.oracles.resume import resume
from ckpt_harness.jobs.oracles.retention import retention
from ckpt_harness.jobs.oracles.undisturbed import undisturbed
from ckpt_harness.judging.oracles.base import answers_of
from ckpt_harness.judging.verdict import Judgement

__all__ = ["JOB_ORACLES", "JobOracle", "calls_alone", "job_claim", "judge_job"]

JOB_ORACLES: dict[str, JobOracle] = {
    "pairing": pairing,
    "commitment": commitment,
    "metadata": metadata,
    "purity": purity,
    "filled": filled,
    "recovery": recovery,
    "futures": futures,
    "agreement": agreement,
    "resume": resume,
    "retention": retention,
    "isolation": isolation,
    "undisturbed": undisturbed,
    "hygiene": hygiene,
    "fired": fired,
}
"""Name -> oracle."""


def job_claim(oracle: str) -> str:
    """The claim that an oracle of a job checks, in one line.

    Args:
        oracle: the oracle's name.

    Raises:
        UsageError: no oracle has this name.

    Example:
        >>> job_claim("pairing")
        'A committed checkpoint holds the shards of exactly one call, of every rank.'
    """
    if oracle not in JOB_ORACLES:
        raise UsageError(unknown("oracle of jobs", oracle, JOB_ORACLES))
    return (JOB_ORACLES[oracle].__doc__ or "").partition("\n")[0]


def judge_job(model: Model) -> list[Judgement]:
    """Asks every oracle of jobs.

    Args:
        model: the reference model of the job.

    Returns:
        All judgements. An oracle that crashes is UNKNOWN, never a pass; a judgement that the engine does not claim is marked so.
    """
    return [judgement for name, oracle in JOB_ORACLES.items() for judgement in answers_of(name, _answers(oracle, model))]


def _answers(oracle: JobOracle, model: Model) -> Iterator[Judgement]:
    """What an oracle says. It may break as soon as it is called."""
    yield from oracle(model)
