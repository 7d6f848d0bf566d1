"""Committed contents that are not the checkpoint of a save: what the oracles ``pairing`` and ``metadata`` look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ckpt_harness.faults.protocol import Capability
from ckpt_harness.jobs.calls import Made
from ckpt_harness.jobs.evidence import Done, Reading, whole_calls
from ckpt_harness.jobs.model import Model
from ckpt_harness.jobs.oracles.alone import is_blamed


@dataclass(frozen=True)
class Content:
    """What was committed at a place, and read.

    Attributes:
        place: the place.
        done: the operation after which it was seen first.
        last: the last save to the place.
        readings: what fresh ranks got from it; if the last save is not whole, only where it was read as a checkpoint of that save.
        right: whether it is the checkpoint of a save, in whole; or its last save is blamed for it already, as a single operation.
        needs: what an engine must claim to owe that it is.
    """

    place: str
    done: Done
    last: Made
    readings: Sequence[Reading]
    right: bool
    needs: frozenset[Capability]


def contents(model: Model) -> Iterator[Content]:
    """Gives each content that was seen at a place, committed, and read: once, when it was seen first. A later save that leaves it there is not to blame."""
    known = set[tuple[str, str]]()
    for done in model.evidence.done:
        for place, seen in (done.seen or {}).items():
            readings, saves = model.evidence.readings.get(seen.content, ()), model.saves_to(place, done.index + 1)
            if not (seen.committed and readings and saves) or (place, seen.content) in known:
                continue
            known.add((place, seen.content))
            last = saves[-1]
            own = [reading for reading in readings if last.call in reading.differences]
            right = bool(whole_calls(readings)) or is_blamed(model, last.call)
            yield Content(place, done, last, own or readings, right, model.held_after(place, done.index).needs)
