"""The oracle about which checkpoint lies at a place: that of the save which has reported success."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from ckpt_harness.jobs.model import Model
from ckpt_harness.jobs.oracles.alone import is_blamed
from ckpt_harness.jobs.oracles.base import Complaint, judged, named
from ckpt_harness.judging.verdict import Judgement


def commitment(model: Model) -> Iterator[Judgement]:
    """What every rank reported as saved lies at its place until another save or a prune replaces it; a failed save leaves nothing new that is committed.

    A place that holds a broken checkpoint is for ``pairing`` and ``metadata`` to judge; what a save leaves that follows a failure, for ``recovery``; what an
    async save leaves that reports success, for ``futures``; and what one call shows by itself, for the oracle of single operations.
    """
    others = [surprise for made in model.calls.values() if made.in_background or model.recovers(made) for surprise in model.left_by(made)]
    complaints: dict[str, list[Complaint]] = defaultdict(list)
    for surprise in model.surprises:
        done = model.evidence.done[surprise.index]
        if not (surprise.seen.broken or surprise in others or is_blamed(model, done.call) or is_blamed(model, surprise.call)):
            complaints[done.call or surprise.call].append(Complaint(f"after {named(model, done)}: {surprise}", surprise.held.needs))
    for call, made in model.calls.items():
        if made.is_save or call in complaints:
            yield judged("commitment", model, call, complaints.pop(call, []), made.done.ranks)
    for call, rest in complaints.items():
        yield judged("commitment", model, call, rest)
