"""Oracles about what lies at the places of a job: whose it is, whether it reads as its metadata says, and that it stays."""

from __future__ import annotations

from collections.abc import Iterator

from ckpt_harness.jobs.evidence import Done, Seen
from ckpt_harness.jobs.operations import AsyncSave, Prune, Save
from ckpt_harness.jobs.oracles.base import Followed, judged
from ckpt_harness.judging.verdict import Judgement


def pairing(job: Followed) -> Iterator[Judgement]:
    """A committed checkpoint holds what one call of every rank saved, and nothing of another call."""
    for done, place, now in _new_contents(job):
        mixed = {reading.ranks: reading.calls for reading in job.readings(now) if len(reading.calls) > 1}
        reasons = [f"{place}, loaded on {ranks} rank(s), holds values of {' and '.join(calls)}" for ranks, calls in mixed.items()]
        yield judged("pairing", _maker(job, done, place), [f"behind {job.operation(done)}: {reason}" for reason in reasons])


def metadata(job: Followed) -> Iterator[Judgement]:
    """A committed checkpoint, read without knowledge of who saved it, is what its metadata says."""
    for done, place, now in _new_contents(job):
        reasons = []
        readings = job.readings(now)
        if readings and readings[0].flaws:
            reasons.append(f"{place}: {readings[0].flaws[0]}")
        if readings and all(reading.failed for reading in readings):
            rank, ending = next(iter(readings[0].failed.items()))
            reasons.append(f"{place} has a commit marker, and does not load: rank {rank} {ending}")
        yield judged("metadata", _maker(job, done, place), [f"behind {job.operation(done)}: {reason}" for reason in reasons])


def _new_contents(job: Followed) -> Iterator[tuple[Done, str, Seen]]:
    """The committed contents that appeared at a place, as far as no oracle of single operations has judged them."""
    for done, place, before, now in job.changes():
        if now.committed and now.content != before.content and not _is_judged_alone(job, done, place):
            yield done, place, now


def _is_judged_alone(job: Followed, done: Done, place: str) -> bool:
    """Whether the save that last began at a place was judged by itself, and ended with this very operation."""
    call = _maker(job, done, place)
    ending = job.evidence.ended.get(call)
    ended_here = done.call == call if ending is None else ending.after == done.index
    lost = ending is not None and any(outcome.kind not in ("returned", "raised") for outcome in ending.outcomes.values())
    return job.judged_alone(call) and (ended_here or lost)


def _maker(job: Followed, done: Done, place: str) -> str:
    """The save that last began at a place."""
    return job.course.moments[done.index].makers.get(place, "")


def retention(job: Followed) -> Iterator[Judgement]:
    """A whole checkpoint stays as it is until a save to its place begins, or enough newer ones are committed and a prune may remove it."""
    for done, place, before, now in job.changes():
        lost = job.whole(before)
        if lost is None or job.whole(now) == lost:
            continue
        operation = job.evidence.job.repeated[done.index]
        if _maker(job, done, place) != lost:
            continue  # another save to the place has begun
        if isinstance(operation, Prune) and not now.content:
            order = list(job.course.before(done.index).makers)
            newer = [name for name in order[order.index(place) + 1 :] if (done.before or {}).get(name, Seen()).committed]
            reasons = [f"{place} was removed, and only {len(newer)} newer checkpoint(s) are committed"] if len(newer) < operation.keep else []
        else:
            reasons = [f"{place} held {lost} in whole, and {'is empty' if not now.content else 'has changed'}"]
        call = done.call if isinstance(operation, (Save, AsyncSave)) else lost
        yield judged("retention", call, [f"behind {job.operation(done)}: {reason}" for reason in reasons])
