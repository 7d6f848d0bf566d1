"""The oracle about checkpoints as somebody finds them who does not know who saved them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from ckpt_harness.jobs.model import Model
from ckpt_harness.jobs.oracles.base import Complaint, judged, named
from ckpt_harness.jobs.oracles.contents import Content, contents
from ckpt_harness.judging.verdict import Judgement


def metadata(model: Model) -> Iterator[Judgement]:
    """A committed checkpoint is what its metadata says: everything that the metadata names is stored, and loads, on any number of ranks."""
    complaints: dict[str, list[Complaint]] = defaultdict(list)
    for content in contents(model):
        found = complaints[content.last.call]
        if not content.right:
            found += [complaint for complaint in _contradictions(model, content) if complaint not in found]
    for call, each in complaints.items():
        yield judged("metadata", model, call, each, model.calls[call].done.ranks)


def _contradictions(model: Model, content: Content) -> Iterator[Complaint]:
    where = f"after {named(model, content.done)}: place {content.place} is committed, and"
    flaws = dict.fromkeys(flaw for reading in content.readings for flaw in (*reading.flaws, *reading.described))
    for flaw in flaws:
        yield Complaint(f"{where} {flaw}", content.needs)
    for reading in content.readings:
        if reading.failed:
            rank, ending = next(iter(sorted(reading.failed.items())))
            yield Complaint(f"{where} cannot be loaded on {reading.ranks} rank(s): rank {rank} {ending}", content.needs)
        elif reading.hung:
            yield Complaint(f"{where} its load on {reading.ranks} rank(s) never ends", content.needs)
