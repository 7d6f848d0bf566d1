"""Claim: simulated ranks behave as real processes do. Any plan leads to the same verdict in both worlds, and to the same ending of each rank."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ckpt_harness.campaigns.compare_worlds import differing
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.record import Record
from ckpt_harness.faults.effects import SIMULABLE, Delay, Skip
from ckpt_harness.strategies import fault_plans

pytestmark = pytest.mark.ckpt_runs_in("simulated")  # each case also runs on processes

EXAMPLES = max(8, settings.default.max_examples // 4)
"""Fewer examples than elsewhere: a case with ranks that hang or die takes a third of a second of real time."""
EFFECTS = [effect for effect in SIMULABLE if effect is not Delay]
"""All effects but delays, which take real seconds on processes; the tests of the process world cover delays."""


@pytest.mark.parametrize("operation", ["save", "load"])
@pytest.mark.parametrize("ranks", [2, 3])
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_any_plan_leads_to_the_same_result_in_both_worlds(ckpt_rig: Any, ranks: int, operation: str, data: st.DataObject) -> None:
    """The verdict, complaints, known findings and the ending of each rank are equal, word for word if no rank is lost."""
    plan = data.draw(fault_plans(ranks=ranks, op=operation, max_faults=2, effects=EFFECTS))  # type: ignore[arg-type]  # one of two literals
    case = Case(plan, operation, ranks)  # type: ignore[arg-type]  # likewise
    _same(ckpt_rig, case)


@pytest.mark.parametrize("operation", ["save", "load"])
@pytest.mark.parametrize(("way", "ranks"), [("subgroup", 3), ("groups", 4), ("no_dist", 2), ("no_collectives", 2)])
@settings(max_examples=EXAMPLES)
@given(data=st.data())
def test_any_way_of_calling_leads_to_the_same_result_in_both_worlds(ckpt_rig: Any, way: str, ranks: int, operation: str, data: st.DataObject) -> None:
    """The same for ranks in sub-groups, each for itself, and without collectives."""
    # Without collectives, a rank that skips the set-up finds a directory or not, depending on which rank comes first.
    effects = [effect for effect in EFFECTS if way != "no_collectives" or effect is not Skip]
    plan = data.draw(fault_plans(ranks=ranks, op=operation, max_faults=2, effects=effects, way=way))  # type: ignore[arg-type]  # as above
    _same(ckpt_rig, Case(plan, operation, ranks, way=way))  # type: ignore[arg-type]  # likewise


def _same(ckpt_rig: Any, case: Case) -> None:
    simulated, real = (Record.of(ckpt_rig.run(replace(case, world=world)), set(), 0.0) for world in ("simulated", "processes"))  # type: ignore[arg-type]  # one of two literals
    assert not differing(simulated, real), (differing(simulated, real), simulated, real)
