"""What simulated ranks show is what real processes show: any plan leads to the same verdict, and to the same told of the same ranks, in both."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.case import Case, CaseResult
from harness.effects import SIMULABLE, Delay
from harness.expectation import Kind
from harness.strategies import fault_plans

pytestmark = pytest.mark.ckpt_runs_in("simulated")  # its cases name the other world themselves

EXAMPLES = max(8, settings.default.max_examples // 4)
"""Cases cost real time here: a third of a second where ranks hang or die."""
EFFECTS = [effect for effect in SIMULABLE if effect is not Delay]
"""Delays cost real seconds; that they are waited for is shown where the process world is tested."""


def seen(result: CaseResult) -> dict[str, object]:
    """What both worlds must show alike. How long a rank waits for one that is lost is not part of it: real verdicts do not wait for timeouts."""
    lost = result.expectation.kind is Kind.STALLS
    outcomes = {rank: result.outcomes[rank] for rank in sorted(result.outcomes)}
    kinds = {rank: "waits in vain" if lost and one.kind in ("hung", "raised") else one.kind for rank, one in outcomes.items()}
    named = {rank: sorted(one.error.failures) for rank, one in outcomes.items() if one.error is not None and one.error.failures is not None}
    return {"verdict": result.verdict, "known": result.known, "outcomes": kinds, "named": named, "complaints": len(result.complaints())}


@pytest.mark.parametrize("operation", ["save", "load"])
@pytest.mark.parametrize("ranks", [2, 3])
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_any_plan_shows_the_same_in_both_worlds(ckpt_rig: Any, ranks: int, operation: str, data: st.DataObject) -> None:
    """Verdict, known findings, outcome of each rank, and the ranks that each is told of."""
    plan = data.draw(fault_plans(ranks=ranks, op=operation, max_faults=2, effects=EFFECTS))  # type: ignore[arg-type]  # one of two literals
    case = Case(plan, operation, ranks)  # type: ignore[arg-type]  # likewise
    assert seen(ckpt_rig.run(replace(case, world="processes"))) == seen(ckpt_rig.run(case)), case.replay_line()
