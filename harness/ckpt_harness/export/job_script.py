"""A job as a stand-alone script: plain torch, real processes, and each operation as a statement that a reader follows from top to bottom.

A script holds only what its job needs. Its state is the smallest that is cut among the ranks, whatever the workload of the job. Where the collectives of two
calls have met, delays bring real ranks into the same order; what comes of it is up to chance all the same, so there the script asks only whether the claims
hold.
"""

from __future__ import annotations

import json

from ckpt_harness.errors import UsageError
from ckpt_harness.export import job_check, job_order, job_seen
from ckpt_harness.export.faults import Faults
from ckpt_harness.export.filling import fill
from ckpt_harness.export.job_life import LifeFunction, arguments
from ckpt_harness.export.script import installed_torch, lateness
from ckpt_harness.export.struck import Struck
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.findings.register import Register
from ckpt_harness.jobs.binding import BoundJob, bind_job
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.operations import LATEST, AsyncSave, Load, Prune
from ckpt_harness.jobs.result import JobResult
from ckpt_harness.jobs.rig import JobRig

LONGEST = 150
"""Lines of a script. The job of a finding takes about 80, of which its operations are the smaller part."""
_COMPARED = 60
"""Characters of an error that are compared."""
_PATIENCE = 10
"""Seconds after which ranks of which nothing is heard are not waited for any more."""


def export(job: Job, register: Register) -> str:
    """Runs a job once, and writes the script that shows the same.

    Args:
        job: the job.
        register: known findings; the script is named after one that the job shows.

    Raises:
        UsageError: the job cannot be exported; nothing has run, unless that is known from its outcome only.
        PlanError: a fault does not fit; nothing has run.
    """
    bound = bind_job(job)
    job_check.check(bound)
    with JobRig(register=register) as rig:
        return write(bound, rig.run(bound), register)


def write(bound: BoundJob, result: JobResult, register: Register) -> str:
    """Writes the script of a job that has run.

    Args:
        bound: the job.
        result: what the job showed.
        register: known findings.

    Raises:
        UsageError: the job shows nothing, or its script would be too long.
    """
    job, evidence, conclusion = bound.job, result.evidence, job_seen.conclusion(result)
    struck = [*_struck(result), *job_order.delays(bound, evidence)]
    faults = Faults(struck, max(life.ranks for life in job.lives), of_calls=True)
    lives = [life for life in job.lives if any(not evidence.done[index].skipped for index in life.operations)]
    latest = any(isinstance(operation, Load) and operation.place == LATEST for operation in job.operations)
    saves, by_chance = job_seen.last_saves(bound, evidence), job_order.depends_on_order(bound, evidence)
    text = fill(
        "job.py.jinja",
        faults=faults,
        title=_title(result, register),
        claims=job_seen.claims(result),
        torch=installed_torch(),
        replay=result.replay_line(),
        lives=", ".join(f"(life_{life.number}, {life.ranks})" for life in lives),
        stateful=faults.names("state"),
        shards=max(life.ranks for life in job.lives),
        saves=json.dumps([job_seen.NOTHING, *(call.call for call in bound.calls.values() if call.case.saves)]),
        by_chance=by_chance,
        broken=conclusion != job_seen.HOLDS,
        must_succeed=json.dumps(job_seen.must_succeed(evidence)),
        saw=list(job_seen.literal(job_seen.saw(bound, evidence, _COMPARED))),
        held=_mapping(job_seen.held(evidence)),
        background=any(isinstance(operation, AsyncSave) for operation in job.operations),
        committed=latest or any(isinstance(operation, Prune) for operation in job.operations),
        newest=latest,
        functions=["\n".join(LifeFunction(bound, life, faults).lines()) for life in lives],
        patience=_PATIENCE + round(lateness(struck)),
        calls=_mapping({call.call: call.life.ranks for call in bound.calls.values()}),
        places=f"{{{', '.join(_held(place, arguments(call.structure)) for place, call in saves.items())}}}",
        conclusion=json.dumps(job_seen.BROKEN_BY_CHANCE if by_chance and conclusion != job_seen.HOLDS else conclusion, ensure_ascii=False),
    )
    lines = text.count("\n")
    if lines > LONGEST:
        raise UsageError(f"the job cannot be exported: its script has {lines} lines; valid: up to {LONGEST}, with fewer operations or faults")
    return text


def _struck(result: JobResult) -> list[Struck]:
    """The faults that fired, each for the operation that it struck."""
    ranks: dict[str, list[int]] = {}
    for text, rank, _ in sorted(result.evidence.fired):
        ranks.setdefault(text, []).append(rank)
    return [Struck(FaultPlan.parse(text).faults[0], tuple(of_fault)) for text, of_fault in ranks.items()]


def _title(result: JobResult, register: Register) -> str:
    violations = job_seen.violations(result)
    known = next((entry for entry in register.entries if violations and entry.id == violations[0].known), None)
    if known is not None:
        return f"{known.id}: {known.title}."
    broken = dict.fromkeys(f"{judgement.oracle} of {judgement.operation or 'the job'}" for judgement in violations)
    return f"A job that breaks {', '.join(broken)}." if broken else "A job that keeps every claim."


def _mapping(items: dict[str, int] | dict[str, str]) -> str:
    return json.dumps(items, ensure_ascii=False)


def _held(place: str, structure: str) -> str:
    return f'"{place}": held(root, "{place}"{structure})'
