"""The oracle about the checkpoint that a job resumes from."""

from __future__ import annotations

from collections.abc import Iterator

from ckpt_harness.faults.protocol import Capability
from ckpt_harness.jobs.evidence import Done
from ckpt_harness.jobs.model import Model
from ckpt_harness.jobs.oracles.base import Complaint, judged, named
from ckpt_harness.judging.verdict import Judgement

_NEEDS = frozenset({Capability.COMMIT_MARKER})


def resume(model: Model) -> Iterator[Judgement]:
    """A job resumes from the newest whole checkpoint, the same on all ranks and in all parts of the state.

    Where ranks go on alone, they look while others may still save: what is the newest then is open.
    """
    for done in model.evidence.done:
        if done.latest and not model.evidence.job.goes_on_alone(done.index):
            wrong = [*_not_the_newest(model, done), *_different(model, done), *_parts(model, done)]
            yield judged("resume", model, done.call, [Complaint(f"{named(model, done)}: {text}", _NEEDS) for text in wrong], done.ranks)


def _not_the_newest(model: Model, done: Done) -> Iterator[str]:
    newest = model.may_resume(done.index)
    owed = " or ".join(sorted(_shown(model, done, place) for place in newest))
    for rank, place in sorted(done.latest.items()):
        if place not in newest:
            yield f"rank {rank} resumes from {_shown(model, done, place)}; the newest whole checkpoint is {owed}"


def _shown(model: Model, done: Done, place: str | None) -> str:
    return "no place" if place is None else f"place {place} ({model.may_hold(place, done.index)})"


def _different(model: Model, done: Done) -> Iterator[str]:
    """Ranks that take different places for the newest. Without a manager, each rank looks by itself, so a save that ends meanwhile may show to some only."""
    if len(set(done.latest.values())) > 1 and (model.evidence.managed or not model.under_way(done.index)):
        places = ", ".join(f"rank {rank} from {place or 'no place'}" for rank, place in sorted(done.latest.items()))
        yield f"the ranks resume from different places: {places}"


def _parts(model: Model, done: Done) -> Iterator[str]:
    """Ranks that name one place, and hold values of different saves. A mixture that lay there is for ``pairing`` to judge."""
    places = {place for place in done.latest.values() if place is not None}
    held = {rank: loaded.calls for rank, loaded in sorted(done.loaded.items()) if loaded.calls}
    if len(places) == 1 and len({call for calls in held.values() for call in calls}) > 1 and not model.was_broken(min(places), done.index):
        shown = ", ".join(f"rank {rank} holds {' and '.join(calls)}" for rank, calls in held.items())
        yield f"parts of the state come from different saves: {shown}"
