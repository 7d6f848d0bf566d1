"""The oracle about whose shards a committed checkpoint holds."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from ckpt_harness.jobs.model import Model
from ckpt_harness.jobs.oracles.base import WITHOUT_ERRORS, Complaint, judged, named
from ckpt_harness.jobs.oracles.contents import Content, contents
from ckpt_harness.judging.verdict import Judgement


def pairing(model: Model) -> Iterator[Judgement]:
    """A committed checkpoint holds the shards of exactly one call, of every rank.

    A checkpoint that no rank can load is for ``metadata`` to judge.
    """
    complaints: dict[str, dict[str, Complaint]] = defaultdict(dict)
    for content in contents(model):
        found = complaints[content.last.call]
        if not content.right:
            for complaint in _unpaired(model, content):
                found.setdefault(complaint.reason.partition(": ")[2], complaint)
    for call, found in complaints.items():
        yield judged("pairing", model, call, found.values(), model.calls[call].done.ranks)


def _unpaired(model: Model, content: Content) -> Iterator[Complaint]:
    where = f"after {named(model, content.done)}: place {content.place} is committed and"
    for reading in content.readings:
        on = f"loaded on {reading.ranks} rank(s)"
        if len(reading.calls) > 1:
            yield Complaint(f"{where}, {on}, holds values of {' and '.join(reading.calls)}", content.needs - WITHOUT_ERRORS)
        elif reading.calls and not reading.failed and not reading.hung:
            (call,) = reading.calls
            saves = [made.call for made in model.saves_to(content.place, content.done.index + 1)]
            if call not in saves:
                yield Complaint(f"{where}, {on}, holds values of {call}, which saved to another place", content.needs - WITHOUT_ERRORS)
            elif reading.differences.get(call):
                yield Complaint(f"{where}, {on}, is not all of {call}: {'; '.join(reading.differences[call][:3])}", content.needs)
