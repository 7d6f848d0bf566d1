"""The oracle about what is kept: there is always a checkpoint to resume from, and what nobody needs does not pile up."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator, Sequence

from ckpt_harness.faults.protocol import Capability
from ckpt_harness.jobs.calls import Made
from ckpt_harness.jobs.evidence import EMPTY, Done, Seen
from ckpt_harness.jobs.model import Model
from ckpt_harness.jobs.operations import Prune
from ckpt_harness.jobs.oracles.base import Complaint, judged, named
from ckpt_harness.judging.verdict import Judgement

_NEEDS = frozenset({Capability.COMMIT_MARKER})
_IN_A_ROW = 3
"""So many successes, each with more left behind than the one before, are growth. A backup beside the first is none."""


def retention(model: Model) -> Iterator[Judgement]:
    """From the first commit on, there is a whole checkpoint at every moment; what is removed is older; nothing uncommitted is the latest; debris is bounded."""
    complaints: dict[str, list[Complaint]] = defaultdict(list)
    growth = _Growth(model)
    whole: dict[str, Made] = {}  # place -> the save whose checkpoint was last seen there, in whole
    for done in model.evidence.done:
        found = complaints[done.call]
        found += [Complaint(f"{named(model, done)} {text}", _NEEDS) for text in _uncommitted_latest(model, done)]
        if done.seen is None:
            continue
        now, unclear = _whole(model, done)
        if whole and not now and not unclear:
            found.append(_none_left(model, done, whole))
        elif not done.skipped:
            found += [Complaint(f"{named(model, done)} {text}", _NEEDS) for text in _wrongly_removed(model, done, whole)]
        found += [Complaint(f"{named(model, done)} {text}", _NEEDS) for text in growth.after(done)]
        whole = now or ({} if not unclear else whole)
    if any(made.is_save for made in model.calls.values()):
        for call, each in complaints.items():
            if call or each:
                yield judged("retention", model, call, each)


def _whole(model: Model, done: Done) -> tuple[dict[str, Made], bool]:
    """The places that hold a whole checkpoint after an operation, with the save; and whether any other may hold one, since nobody has read it."""
    found, unclear = {}, False
    for place in done.seen or {}:
        held = model.seen_after(place, done)
        calls = [model.calls[call] for call in (held.calls if held is not None else ()) if call in model.calls]
        if calls:
            found[place] = max(calls, key=lambda made: made.begun)
        unclear |= held is None
    return found, unclear


def _none_left(model: Model, done: Done, whole: dict[str, Made]) -> Complaint:
    """Every whole checkpoint is gone.

    What overwriting has destroyed is owed by engines only that claim to overwrite safely; and who cannot see that a checkpoint is broken may have kept it
    in place of a whole one.
    """
    needs = _NEEDS
    if all(model.saves_to(place, done.index + 1)[-1] is not made for place, made in whole.items()):
        needs |= {Capability.ATOMIC_OVERWRITE}
    for surprise in model.surprises:
        if surprise.index == done.index and surprise.place in whole:
            needs |= surprise.held.needs
    for place in done.seen or {}:
        held = model.held_after(place, done.index)
        needs |= held.needs if held.broken else frozenset()
    before = ", ".join(f"place {place} ({made.call})" for place, made in sorted(whole.items()))
    return Complaint(f"after {named(model, done)} there is no whole checkpoint; before, there was {before}", needs)


def _wrongly_removed(model: Model, done: Done, whole: dict[str, Made]) -> Iterator[str]:
    """Checkpoints that are gone although they were among the newest, which have to stay."""
    operation = model.evidence.job.operations[done.index]
    if not isinstance(operation, Prune) and not model.evidence.managed:
        return
    keep, counted = (operation.keep, done.index) if isinstance(operation, Prune) else (1, done.index + 1)
    for place, made in whole.items():
        if model.evidence.managed and not made.returned:
            continue  # what a save leaves that reported a failure, a manager may remove
        seen = model.seen_after(place, done)
        if place != done.place and seen is not None and not seen.calls and not seen.broken:
            others = [model.newest_save(other, counted) for other in model.places() if other != place]
            newer = [other for other in others if other is not None and not model.is_newer(made, other, counted)]
            if len(newer) < keep:
                yield f"has removed place {place} ({made.call}), which is among the {keep} newest whole checkpoints"


def _uncommitted_latest(model: Model, done: Done) -> Iterator[str]:
    """Places that ranks take for the latest, although nothing is committed there."""
    alone = model.evidence.job.goes_on_alone(done.index)
    for place in sorted({place for place in done.latest.values() if place is not None and not alone}):
        held = model.may_hold(place, done.index)
        if held.nothing and not held.calls and not held.broken:
            yield f"takes place {place} for the latest, where nothing is committed"


class _Growth:
    """What is left behind, from success to success.

    Args:
        model: the reference model of the job.
    """

    def __init__(self, model: Model) -> None:
        self._model = model
        self._files: dict[tuple[object, ...], list[int]] = defaultdict(list)
        self._debris: list[int] = []

    def after(self, done: Done) -> Iterator[str]:
        """What an operation has left behind that grows."""
        made = self._model.calls.get(done.call)
        if made is not None and made.is_save and not made.in_background and made.returned:
            yield from self._in_place(made, (done.seen or {}).get(done.place, Seen()).files)
        operation = self._model.evidence.job.operations[done.index]
        pruned = isinstance(operation, Prune) and not done.skipped and all(outcome.kind == "returned" for outcome in done.outcomes.values())
        if isinstance(operation, Prune) and pruned and not self._model.under_way(done.index):
            yield from self._in_all(done, operation.keep)

    def _in_place(self, made: Made, files: int) -> Iterator[str]:
        """More and more files at one place, from saves of the same structure by as many ranks."""
        counts = self._files[made.done.place, made.done.ranks, made.structure]
        counts.append(files)
        if _grows(counts):
            yield f"leaves more files at place {made.done.place} than each save before: {_last(counts)}"

    def _in_all(self, done: Done, keep: int) -> Iterator[str]:
        """More checkpoints than were to stay and, with a manager, more and more places of failed saves."""
        seen = done.seen or {}
        kept = [place for place, each in seen.items() if each.committed]
        if len(kept) > keep:
            yield f"keeps {len(kept)} checkpoints instead of {keep}: places {', '.join(sorted(kept))}"
        if self._model.evidence.managed:
            self._debris.append(sum(1 for each in seen.values() if each.content != EMPTY and not each.committed))
            if _grows(self._debris):
                yield f"leaves more places without a commit marker than each prune before: {_last(self._debris)}"


def _grows(counts: Sequence[int]) -> bool:
    last = counts[-_IN_A_ROW:]
    return len(last) == _IN_A_ROW and all(before < after for before, after in itertools.pairwise(last))


def _last(counts: Sequence[int]) -> str:
    return ", ".join(map(str, counts[-_IN_A_ROW:]))
