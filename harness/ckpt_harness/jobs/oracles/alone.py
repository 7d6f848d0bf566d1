"""How the oracles of single operations judge the calls of a job: each by what it owes after the operations before it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

from ckpt_harness.jobs.model import Model
from ckpt_harness.judging.evidence import Evidence
from ckpt_harness.judging.oracles import ORACLES
from ckpt_harness.judging.verdict import Verdict

_STORED = ("commitment", "purity", "filled")
"""The oracles of a single operation about what it has left on storage."""


def calls_alone(model: Model) -> Iterator[Evidence]:
    """Gives the evidence for the oracles of single operations, once where calls share it that were under way at once.

    Args:
        model: the reference model of the job.
    """
    for single in {id(single): single for single in model.evidence.single.values()}.values():
        evidence = _as_owed(model, single)
        if evidence.forecast.expectations:
            yield evidence


def _as_owed(model: Model, single: Evidence) -> Evidence:
    """The evidence of calls, with what each owes after the operations before it."""
    expectations = []
    for expectation in single.forecast.expectations:
        made = model.calls.get(expectation.operation)
        if made is not None and not made.done.place:
            continue  # there was nothing to load
        expectations += [expectation] if made is None else [owed for owed in model.owes(made) if owed.ranks == expectation.ranks]
    return dataclasses.replace(single, forecast=dataclasses.replace(single.forecast, expectations=tuple(expectations)))


def is_blamed(model: Model, call: str) -> bool:
    """Whether an oracle of single operations complains of what a call has left on storage. The oracles of jobs do not say it again.

    Args:
        model: the reference model of the job.
        call: the call, such as ``save[2]``.
    """
    if call not in model.evidence.single:
        return False
    evidence = _as_owed(model, model.evidence.single[call])
    judgements = (judgement for name in _STORED for judgement in ORACLES[name](evidence))
    return any(judgement.verdict is Verdict.VIOLATED and judgement.operation == call for judgement in judgements)
