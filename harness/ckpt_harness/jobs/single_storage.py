"""What one save of a job has left on storage, as the oracles of single operations look at it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from ckpt_harness.cases.baseline import changes_between
from ckpt_harness.cases.look import Commits
from ckpt_harness.cases.rank_program import ATTEMPT, PREVIOUS
from ckpt_harness.disk.shown import Shown
from ckpt_harness.history import History
from ckpt_harness.jobs.binding import BoundCall, BoundJob
from ckpt_harness.jobs.evidence import Reading, Seen
from ckpt_harness.jobs.observed import Observed
from ckpt_harness.jobs.records import Record
from ckpt_harness.judging.evidence import StorageEvidence

_OTHER = 100
"""Number from which on saves are numbered that a save has nothing to do with."""


def stored_by(bound: BoundJob, observed: Observed, call: BoundCall, history: History) -> StorageEvidence:
    """Returns what a save has left.

    Args:
        bound: the job.
        observed: what was observed of each call.
        call: the save, whose place somebody looked at before another save to it.
        history: what happened in it, and in saves that were under way at once.
    """
    record, before, seen = observed.record(call), observed.before(call), observed.after(call)
    assert record.place is not None
    commits = Commits.of(history, call.call, call.case.plan.plan)
    committed = seen.get(record.place, Seen()).committed and (not before.committed or bool(commits.reported))
    readings = observed.readings_after(call)
    own = [reading for reading in readings if call.call in reading.differences]
    old = observed.old(call)
    alone = not observed.in_background(call) and len(bound.cluster_of(call.index)) == 1
    looked_at_once = alone and record.before is not None and record.after is not None
    damaged, removed = _damage(record, seen) if looked_at_once else ({}, frozenset[str]())
    storage = StorageEvidence(
        committed=committed,
        finish_acted=bool(commits.acted),
        damaged=damaged,
        removed=removed,
        ranks=call.ranks,
        later=tuple(dict.fromkeys(name for reading in own for name in reading.later)),
        saves={_label(reading): _numbers(reading, old, call.call) for reading in own},
        holes={_label(reading): reading.differences[call.call] for reading in own if _shows(reading, readings, old, call.call) == "wrong"},
        of_more_ranks=before.committed and observed.replaces_more_ranks(call),
        replaced={_label(reading): _shows(reading, readings, old, call.call) for reading in own} if old is not None else {},
    )
    if not committed:
        return storage
    return dataclasses.replace(
        storage,
        mismatches={_label(reading): _wrong(reading, call.call) for reading in own},
        silent={_label(reading): reading.differences[call.call] for reading in own},
        flaws=next((reading.flaws for reading in own), ()),
    )


def _damage(record: Record, seen: Mapping[str, Seen]) -> tuple[dict[str, str], frozenset[str]]:
    """How other places have changed during a save."""
    damaged: dict[str, str] = {}
    removed: set[str] = set()
    for place, before in (record.before or {}).items():
        after = seen.get(place, Seen())
        if place != record.place and after != before:
            damaged[place] = changes_between({place: before.content}, {place: after.content} if after.content else {})
            removed |= set() if after.content else {place}
    return damaged, frozenset(removed)


def _label(reading: Reading) -> str:
    return f"{reading.ranks} rank(s)"


def _numbers(reading: Reading, old: str | None, new: str) -> tuple[int, ...]:
    """The saves whose values were read, numbered as those of a case are: what a save found, what it saved, and others."""
    numbers = {old: PREVIOUS, new: ATTEMPT}
    return tuple(sorted(numbers.get(call, _OTHER + position) for position, call in enumerate(reading.calls)))


def _wrong(reading: Reading, call: str) -> tuple[str, ...]:
    """Everything that is wrong if a content must be the checkpoint of a save."""
    return (*(f"rank {rank} {ending}" for rank, ending in reading.failed.items()), *reading.differences[call])


def _shows(reading: Reading, readings: Sequence[Reading], old: str | None, new: str) -> Shown:
    """What a place shows of two saves that it may hold."""
    if old is not None and any(other.is_whole(old) for other in readings if other.ranks == reading.ranks):
        return "old"
    if reading.hung:
        return "hang"
    if reading.failed:
        return "error" if len(reading.failed) == reading.ranks else "disagreement"
    if not reading.differences[new]:
        return "new"
    return "mixture" if len(reading.calls) > 1 else "wrong"
