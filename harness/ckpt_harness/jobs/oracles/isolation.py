"""The oracle about what training changes while an async save of a manager is under way."""

from __future__ import annotations

from collections.abc import Iterator

from ckpt_harness.jobs.model import Model
from ckpt_harness.jobs.oracles.base import Complaint, judged, named
from ckpt_harness.judging.verdict import Judgement


def isolation(model: Model) -> Iterator[Judgement]:
    """What training changes once an async save has staged the state does not change what is saved.

    A manager has staged the state when its ``async_save`` returns. For the async saves of an engine, the oracle of single operations says it.
    """
    if not model.evidence.managed:
        return
    for made in model.calls.values():
        if not made.in_background:
            continue
        complaints: dict[tuple[str, ...], Complaint] = {}
        for done in model.evidence.done[made.begun :]:
            for reading in model.readings(made.done.place, done) or ():
                if reading.later and made.call in reading.differences and model.saves_to(made.done.place, done.index + 1)[-1] is made:
                    reason = f"after {named(model, done)}: saved as it was later: {', '.join(reading.later[:3])}"
                    complaints.setdefault(reading.later, Complaint(reason, made.lies))
        yield judged("isolation", model, made.call, complaints.values(), made.done.ranks)
