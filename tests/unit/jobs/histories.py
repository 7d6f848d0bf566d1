"""Histories of jobs, written by hand: everything goes well, and then some things are put in its place."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from ckpt_harness.history import ErrorRecord
from ckpt_harness.jobs.evidence import AsyncEnding, Done, JobEvidence, Loaded, Reading, Seen
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.operations import LATEST, AsyncSave, Load, Prune, Restart, Save, Wait
from ckpt_harness.jobs.oracles import JOB_ORACLES
from ckpt_harness.jobs.oracles.base import Followed
from ckpt_harness.judging.evidence import Evidence, Outcome
from ckpt_harness.judging.expectation import Ending, Expectation, Forecast
from ckpt_harness.judging.verdict import Verdict

RETURNED, FAILED, HUNG = Outcome("returned"), Outcome("raised", ErrorRecord.of(ValueError("no"))), Outcome("hung", where="gather")
RANKS = (0, 1)


def whole(call: str, *others: str) -> tuple[Reading, ...]:
    """What fresh ranks get from a content that is exactly what ``call`` stored, and differs from what ``others`` stored."""
    differences: dict[str, tuple[str, ...]] = {call: (), **dict.fromkeys(others, ("weight: differs",))}
    return tuple(Reading(ranks, calls=(call,), differences=differences) for ranks in (2, 1))


def mixture(*calls: str) -> tuple[Reading, ...]:
    """What fresh ranks get from a content that holds values of several saves."""
    return (Reading(2, calls=calls, differences=dict.fromkeys(calls, ("weight: differs",))),)


def broken(call: str) -> tuple[Reading, ...]:
    """What fresh ranks get from a content with a marker and without its files."""
    return (Reading(2, failed={0: "raised KeyError", 1: "raised KeyError"}, differences={call: ()}, flaws=("weight is in the metadata, and not in storage",)),)


def owed(call: str, ending: Ending = Ending.SUCCEEDS) -> Expectation:
    """How a call has to end."""
    return Expectation(call, RANKS, ending)


def went_well(text: str, *, alone: bool = True, **changes: Any) -> JobEvidence:
    """The evidence of a job in which everything went well.

    Args:
        text: the operations, on two ranks.
        alone: whether the oracles of single operations have judged the calls.
        changes: fields of the evidence that are replaced.
    """
    job = Job.parse(text)
    seen: dict[str, Seen] = {}
    under_way: dict[str, str] = {}
    done, ended, readings = [], {}, {}
    for index, operation in enumerate(job.repeated):
        call, before, place, latest = job.calls[index], dict(seen), getattr(operation, "place", ""), {}
        loaded: dict[int, Loaded] = {}
        if isinstance(operation, (Save, AsyncSave)):
            seen.pop(place, None)
            seen[place] = Seen(True, call) if isinstance(operation, Save) else Seen()
            readings[call] = whole(call)
        if isinstance(operation, AsyncSave):
            under_way[place] = call
        if isinstance(operation, (Wait, Restart)) or index == len(job.operations) - 1:
            for where, name in under_way.items():
                seen[where] = Seen(True, name)
                ended[name] = AsyncEnding(name, index, dict.fromkeys(RANKS, RETURNED), {rank: {"upload": RETURNED} for rank in RANKS})
            under_way = {}
        if isinstance(operation, Load):
            place = next(name for name in reversed(seen) if seen[name].committed) if place == LATEST else place
            latest = dict.fromkeys(RANKS, place) if operation.place == LATEST else {}
            loaded = {rank: Loaded((seen[place].content,), {seen[place].content: ()}) for rank in RANKS}
        if isinstance(operation, Prune):
            for old in [name for name in seen if seen[name].committed][: -operation.keep]:
                seen[old] = Seen()
        life = next(life.number for life in job.lives if index in life.operations)
        expected = (owed(call),) if call else ()
        done.append(
            Done(index, call, life, RANKS, place, dict.fromkeys(RANKS, RETURNED), expected, before, dict(seen), latest, loaded)  # type: ignore[arg-type]
        )
    single = {call: Evidence(Forecast((owed(call),), frozenset()), {}) for call in job.calls if call} if alone else {}
    return replace(JobEvidence(job, tuple(done), ended, readings, single), **changes)


def but(evidence: JobEvidence, number: int, **changes: Any) -> JobEvidence:
    """The evidence with some fields of one operation replaced, counted from 1 as a story counts."""
    done = list(evidence.done)
    done[number - 1] = replace(done[number - 1], **changes)
    return replace(evidence, done=tuple(done))


def then_lies(evidence: JobEvidence, number: int, place: str, seen: Seen, readings: tuple[Reading, ...] = ()) -> JobEvidence:
    """The evidence with something else at a place, behind one operation and ahead of all operations after it."""
    done = []
    for each in evidence.done:
        if each.index >= number - 1:
            each = replace(each, seen={**(each.seen or {}), place: seen})  # noqa: PLW2901
        if each.index >= number:
            each = replace(each, before={**(each.before or {}), place: seen})  # noqa: PLW2901
        done.append(each)
    return replace(evidence, done=tuple(done), readings={**evidence.readings, **({seen.content: readings} if readings else {})})


def verdicts(oracle: str, evidence: JobEvidence) -> Mapping[str, str]:
    """Call -> what is wrong, for the judgements of an oracle that are not HOLDS."""
    judgements = JOB_ORACLES[oracle](Followed(evidence))
    return {judgement.operation: judgement.reason for judgement in judgements if judgement.verdict is not Verdict.HOLDS}
