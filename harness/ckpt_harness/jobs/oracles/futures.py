"""The oracle about async saves: when their futures end, and what these say."""

from __future__ import annotations

from collections.abc import Iterator

from ckpt_harness.jobs.calls import Made
from ckpt_harness.jobs.evidence import Done
from ckpt_harness.jobs.model import Model
from ckpt_harness.jobs.operations import Wait
from ckpt_harness.jobs.oracles.base import Complaint, judged, named
from ckpt_harness.jobs.oracles.outcomes import failure_of_another
from ckpt_harness.judging.verdict import Judgement


def futures(model: Model) -> Iterator[Judgement]:
    """Every future of an async save ends, at the wait for that save at the latest, and says how that save ended and not how another did.

    The oracle of single operations compares the futures of a save with each other.
    """
    for made in model.calls.values():
        if made.in_background:
            wait = _wait_for(model, made)
            wrong: list[Complaint | str] = [*_late(model, made, wait), *_of_another(model, made), *_wrong_wait(model, made, wait)]
            if made.returned and not model.recovers(made):
                wrong += [Complaint(f"the futures report success, and {surprise}", surprise.held.needs) for surprise in model.left_by(made)]
            yield judged("futures", model, made.call, wrong, made.done.ranks)


def _wait_for(model: Model, made: Made) -> Done | None:
    """The first ``wait`` that waits for an async save; None where the save ends with its life."""
    for done in model.evidence.done[made.begun + 1 :]:
        if done.life != made.done.life:
            return None
        operation = model.evidence.job.operations[done.index]
        if isinstance(operation, Wait) and not done.skipped and operation.place in ("", made.done.place):
            return done
    return None


def _late(model: Model, made: Made, wait: Done | None) -> Iterator[str]:
    """A ``wait`` that has returned while the save was under way."""
    ending = model.evidence.ended.get(made.call)
    over = wait is not None and bool(wait.outcomes) and all(outcome.kind == "returned" for outcome in wait.outcomes.values())
    if over and ending is not None and wait is not None and ending.after > wait.index:
        yield f"the save ends during {named(model, model.evidence.done[ending.after])}, although {named(model, wait)} has waited for it"


def _of_another(model: Model, made: Made) -> Iterator[str]:
    """Ranks to which a future reports the failure of another save."""
    for rank, outcome in sorted(made.outcomes.items()):
        other = failure_of_another(model, made, outcome)
        if other and not model.is_open(made):
            yield f"rank {rank}: the future reports the failure of {other}"


def _wrong_wait(model: Model, made: Made, wait: Done | None) -> Iterator[str]:
    """A ``wait`` that reports success although a save has failed that it waited for."""
    if wait is None or made.ended != wait.index:
        return
    for rank, outcome in sorted(made.outcomes.items()):
        begun, waited = made.done.outcomes.get(rank), wait.outcomes.get(rank)
        silent = begun is not None and waited is not None and begun.kind == waited.kind == "returned"
        if outcome.kind == "raised" and silent and not _was_reported(model, made, wait, rank):
            yield f"rank {rank}: {named(model, wait)} reports success, although the save {outcome}"


def _was_reported(model: Model, made: Made, wait: Done, rank: int) -> bool:
    """Whether a rank may have learned of the failure of an async save before it waited: a manager may report it at the next call."""
    between = model.evidence.done[made.begun + 1 : wait.index]
    return model.evidence.managed and any(rank in done.outcomes and done.outcomes[rank].kind == "raised" for done in between)
