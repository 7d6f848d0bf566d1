"""The evidence of a job that ran, gathered from what was noted of its operations."""

from __future__ import annotations

from ckpt_harness.jobs.evidence import AsyncEnding, Done, JobEvidence
from ckpt_harness.jobs.managed_forecast import owed_with_manager
from ckpt_harness.jobs.running import JobRun
from ckpt_harness.jobs.single import Singles
from ckpt_harness.judging.expectation import Expectation


def gathered(run: JobRun, singles: Singles) -> JobEvidence:
    """Returns everything that the oracles may look at.

    Args:
        run: the job, which has ended.
        singles: makes the evidence of its calls.
    """
    if not run.managed:
        singles.take_rest()
    owed = owed_with_manager(run) if run.managed else singles.owed
    bound = run.bound
    return JobEvidence(
        job=bound.job,
        done=tuple(_done(run, index, owed.get(index, ())) for index in range(len(run.records))),
        ended={bound.calls[index].call: _async_ending(run, index) for index in run.background},
        readings=run.places.readings,
        single=singles.evidence,
        fired=frozenset(firing for life in run.lives.values() for firing in life.fired),
        internal_errors=tuple(run.internal_errors),
        capabilities=frozenset.intersection(*(base.engine.capabilities for base in bound.bases.values())),
        left={number: life.left for number, life in run.lives.items() if life.left is not None},
        managed=run.managed,
    )


def _done(run: JobRun, index: int, owed: tuple[Expectation, ...]) -> Done:
    """One operation, as it was done; ``owed`` is how its engine call has to end."""
    record, call = run.records[index], run.bound.calls.get(index)
    life = next(life for life in run.bound.job.lives if index in life.operations)
    return Done(
        index=index,
        call=call.call if call else "",
        life=life.number,
        ranks=call.ranks if call else tuple(range(life.ranks)),
        place=record.place or "",
        outcomes=dict(sorted(record.outcomes.items())),
        owed=owed,
        before=record.before,
        seen=record.after,
        latest=record.latest,
        loaded=record.loaded,
        skipped=record.skipped,
    )


def _async_ending(run: JobRun, index: int) -> AsyncEnding:
    record = run.background[index]
    return AsyncEnding(
        call=run.bound.calls[index].call,
        after=record.after,
        outcomes={rank: ending.outcome for rank, ending in sorted(record.endings.items())},
        futures={rank: ending.futures for rank, ending in sorted(record.endings.items()) if ending.futures},
    )
