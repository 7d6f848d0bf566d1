"""The protocol of the oracles of jobs, and how they write down what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from ckpt_harness.faults.protocol import Capability
from ckpt_harness.jobs.evidence import Done
from ckpt_harness.jobs.model import Model
from ckpt_harness.judging.oracles.base import one_line
from ckpt_harness.judging.verdict import Judgement, Verdict

JobOracle = Callable[[Model], Iterable[Judgement]]
"""A pure check of a job: it looks at the evidence and at what the reference model says of it. The first line of its docstring is its claim."""

WITHOUT_ERRORS = frozenset({Capability.ATOMIC_OVERWRITE, Capability.COMMIT_MARKER})
"""Claims that excuse no engine whose load reports success with wrong values."""


@dataclass(frozen=True)
class Complaint:
    """One thing that is wrong.

    Attributes:
        reason: what is wrong, in words.
        needs: what an engine must claim for the complaint to count.
    """

    reason: str
    needs: frozenset[Capability] = frozenset()


def judged(
    oracle: str,
    model: Model,
    operation: str,
    complaints: Iterable[Complaint | str],
    ranks: Sequence[int] = (),
    verdict: Verdict = Verdict.VIOLATED,
) -> Judgement:
    """What an oracle says of an operation: ``verdict`` if there is any complaint, else HOLDS.

    If some complaints count and others do not, since the engine does not claim what they need, only those that count are named.

    Args:
        oracle: name of the oracle.
        model: the reference model of the job.
        operation: the call that is judged, such as ``save[2]``, or "".
        complaints: what is wrong.
        ranks: the ranks that are judged; empty for all.
        verdict: the verdict if there is any complaint.
    """
    every = [Complaint(each) if isinstance(each, str) else each for each in complaints]
    counting = [each for each in every if each.needs <= model.evidence.capabilities]
    reasons = tuple(each.reason for each in counting or every)
    worst = verdict if every else Verdict.HOLDS
    return Judgement(oracle, worst, one_line(reasons), operation, tuple(ranks), claimed=bool(counting) or not every, reasons=reasons)


def named(model: Model, done: Done) -> str:
    """How a complaint calls an operation.

    Example:
        >>> from ckpt_harness.jobs.evidence import JobEvidence
        >>> from ckpt_harness.jobs.job import Job
        >>> job = Job.parse("save a; prune 1")
        >>> done = [Done(0, "save[1]"), Done(1)]
        >>> model = Model(JobEvidence(job, done))
        >>> [named(model, each) for each in done]
        ['save[1] (`save a`)', 'operation 2 (`prune 1`)']
    """
    text = model.evidence.job.operations[done.index]
    return f"{done.call or f'operation {done.index + 1}'} (`{text}`)"
