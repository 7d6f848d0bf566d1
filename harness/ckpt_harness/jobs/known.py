"""Which known finding explains a violation that an oracle of jobs has found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence

from ckpt_harness.jobs.calls import Made
from ckpt_harness.jobs.model import Model
from ckpt_harness.judging.evidence import Evidence
from ckpt_harness.judging.verdict import Judgement, Verdict

Marking = Callable[[Judgement, Evidence], Judgement]
"""Marks a violation of a single operation as known, if the register describes it; the evidence has what was observed of the operation."""


def explained(judgement: Judgement, model: Model, alone: Sequence[Judgement], mark: Marking) -> Judgement:
    """Returns a judgement of a job, marked as known if a known finding explains it.

    A violation about a call in which a known finding shows is a consequence of that finding. Otherwise the register is asked about the call itself; and where
    a call fails after a failure, about each failure before, of which the call is the second attempt.

    Args:
        judgement: what an oracle of jobs says.
        model: the reference model of the job.
        alone: what the oracles of single operations say, with known findings marked.
        mark: asks the register.
    """
    if judgement.verdict is not Verdict.VIOLATED or judgement.operation not in model.calls:
        return judgement
    own = [each for each in alone if each.operation == judgement.operation and each.verdict is Verdict.VIOLATED]
    known = {each.known for each in own if each.claimed}
    if known and None not in known:
        return dataclasses.replace(judgement, known=min(filter(None, known)))
    if own and not known:  # the engine claims nothing of what its call broke
        return dataclasses.replace(judgement, claimed=False)
    for call, evidence in _observed(judgement, model):
        entry = mark(dataclasses.replace(judgement, operation=call), evidence).known
        if entry is not None:
            return dataclasses.replace(judgement, known=entry)
    return judgement


def _observed(judgement: Judgement, model: Model) -> Iterator[tuple[str, Evidence]]:
    """The calls that may explain a violation, each with what was observed of it."""
    made, single = model.calls[judgement.operation], model.evidence.single
    if judgement.oracle != "recovery":
        if made.call in single:
            yield made.call, single[made.call]
        return
    for other in (made, *_failed_before(model, made)):
        if other.call in single:
            yield other.call, dataclasses.replace(single[other.call], retry=made.outcomes)


def _failed_before(model: Model, made: Made) -> Iterator[Made]:
    """The calls of the same ranks that have failed before a call."""
    for other in model.calls.values():
        if other.done.life == made.done.life and other.begun < made.begun and not other.returned and not other.on_fresh_ranks:
            yield other
