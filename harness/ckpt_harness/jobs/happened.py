"""What happened in each operation of a job, in words: what a reader of a shrunk job wants to see beside it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from ckpt_harness.jobs.evidence import Done, JobEvidence
from ckpt_harness.judging.evidence import Outcome


def happened(evidence: JobEvidence) -> tuple[str, ...]:
    """Returns a text for each operation; "" where all ranks did it and there is nothing to say.

    Args:
        evidence: what was observed.

    Example:
        >>> from ckpt_harness.jobs.job import Job
        >>> job = Job.parse("save a; load a")
        >>> happened(JobEvidence(job, [Done(0, outcomes={0: Outcome("returned"), 1: Outcome("hung")}), Done(1, skipped="rank 1 hung")]))
        ('rank 0 returned, rank 1 hung', 'not done: rank 1 hung')
    """
    return tuple("; ".join(_about(evidence, done)) for done in evidence.done)


def _about(evidence: JobEvidence, done: Done) -> Iterator[str]:
    if done.skipped:
        yield f"not done: {done.skipped}"
        return
    if any(outcome.kind != "returned" for outcome in done.outcomes.values()):
        yield _endings(done.outcomes)
    for call, ending in evidence.ended.items():
        if ending.after == done.index and any(outcome.kind != "returned" for outcome in ending.outcomes.values()):
            yield f"{call}: {_endings(ending.outcomes)}"
    if done.latest:
        yield f"latest: {', '.join(sorted({place or 'none' for place in done.latest.values()}))}"
    loaded = sorted({call for each in done.loaded.values() for call in each.calls})
    if loaded:
        yield f"values of {' and '.join(loaded)}"
    if any(each.unfilled for each in done.loaded.values()):
        yield "a part was not filled"


def _endings(outcomes: Mapping[int, Outcome]) -> str:
    """How an operation ended on each rank; ranks with the same ending together."""
    ranks: dict[str, list[str]] = {}
    for rank, outcome in sorted(outcomes.items()):
        ranks.setdefault(str(outcome), []).append(str(rank))
    return ", ".join(f"rank{'s' * (len(these) > 1)} {' and '.join(these)} {ending}" for ending, these in ranks.items())
