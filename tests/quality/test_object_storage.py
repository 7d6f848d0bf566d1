"""No false alarms: with DCP's protocol repaired and an empty register, a correct storage on an object store violates no claim."""

from __future__ import annotations

import pytest

pytest.importorskip("moto", reason="needs the extra s3: pip install 'ckpt-harness[s3]'")

from object_storage import OBJECTS

from ckpt_harness.campaigns.sweep import Sweep
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.faults.plan import FaultPlan

pytestmark = pytest.mark.usefixtures("silence")


@pytest.mark.parametrize("operation", ["save", "load"])
def test_no_fault_of_the_network_violates_a_claim(operation: str, rig: Rig) -> None:
    """Every request with every effect: an error on all ranks, or success; the checkpoint is whole, or a load notices the damage."""
    sweep = Sweep((operation,), (2,), engine=OBJECTS.name, network=True)  # type: ignore[arg-type]  # a kind
    cases = [case for ground in sweep.grounds() for case in sweep.cases(rig, ground)]
    assert len(cases) > 15
    for case in cases:
        rig.run(case).check()


@pytest.mark.parametrize(("times", "outcome"), [(2, "returned"), (3, "raised")])
def test_the_storage_tries_a_request_three_times(times: int, outcome: str, rig: Rig) -> None:
    """If the store is busy twice, the save succeeds; if it stays busy, all ranks fail."""
    plan = FaultPlan.parse(f"http.put(1.bin)@1#1x{times}=status(503,SlowDown)")
    result = rig.run(Case(plan, "save", 2, engine=OBJECTS.name))
    result.check()
    assert {ending.kind for ending in result.outcomes.values()} == {outcome}
    assert len(result.evidence.fired) == 1
