"""Hand-written evidence: what a plan had to lead to, and how each rank ended."""

from __future__ import annotations

from collections.abc import Mapping

from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.protocol import DCP
from ckpt_harness.findings.entry import Entry
from ckpt_harness.findings.signatures import Signature
from ckpt_harness.history import ErrorRecord
from ckpt_harness.judging.evidence import Evidence, Outcome
from ckpt_harness.judging.model import forecast
from ckpt_harness.judging.trace import Trace

GATHER = "all_gather, waiting for rank 1, at torch/distributed/checkpoint/utils.py:135 in gather_object"
PLAN = "writer.reset@1=raise"


def hung(where: str = GATHER) -> Outcome:
    return Outcome("hung", where=where)


def raised(error: BaseException) -> Outcome:
    return Outcome("raised", ErrorRecord.of(error))


def evidence(
    plan: str = PLAN,
    outcomes: Mapping[int, Outcome] | None = None,
    *,
    ranks: int = 3,
    coordinator: int = 0,
    operation: str = "save[1]",
    fired: bool = True,
) -> Evidence:
    """Evidence of one operation under a plan. By default the victims raise the injected error and all other ranks hang."""
    bound = FaultPlan.parse(plan).bind(ranks, coordinator, DCP)
    made = forecast(bound, Trace.nominal([operation], bound.groups, DCP))
    [expectation] = made.expectations
    usual = {rank: hung() for rank in range(ranks)}
    usual |= {acting.rank: Outcome("raised", acting.error) for acting in expectation.decisive}
    struck = frozenset((str(bound_fault.fault), rank) for bound_fault in bound.faults for rank in bound_fault.ranks)
    return Evidence(made, {operation: {**usual, **(outcomes or {})}}, fired=struck if fired else frozenset())


def entry(**fields: object) -> Entry:
    """An entry about errors of ``reset``; keyword arguments replace its fields."""
    waits = ("hung * in gather_object",)
    usual: dict[str, object] = {
        "id": "T-1",
        "title": "reset hangs peers",
        "engines": ("filesystem",),
        "versions": ("2.13.0",),
        "operations": ("save",),
        "calls": ("*",),
        "sites": ("writer.reset",),
        "effects": ("raise", "raise(*)"),
        "oracles": ("bounded", "agreement"),
        "ranks": 2,
        "signatures": (Signature({"victim": ("raised the injected error",), "coordinator": waits, "other": waits}),),
        "about": "it does",
        "source": "somewhere",
        "reproducer": "none.py",
        "reports": (),
        "replay": "ckpt-harness replay writer.reset@1=raise",
    }
    return Entry(**{**usual, **fields})  # type: ignore[arg-type]
