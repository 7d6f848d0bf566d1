"""The model and the engine agree for all pairs of plain errors, on the engine without repairs."""

from __future__ import annotations

import pytest

from ckpt_harness.campaigns.sweep import Sweep
from ckpt_harness.cases.rig import Rig
from ckpt_harness.faults.sites import OperationKind

pytestmark = pytest.mark.usefixtures("silence")


@pytest.mark.parametrize("coordinator", [0, 1])
@pytest.mark.parametrize("op", ["save", "load"])
def test_all_pairs_of_errors_end_as_the_model_says(op: OperationKind, coordinator: int) -> None:
    """Two ranks, errors at any two calls: the step, the named ranks and their errors are as the model says, or a known finding shows."""
    pairs = Sweep((op,), (2,), (coordinator,), workload="objects", pairs=True)
    with Rig() as rig:
        cases = [case for ground in pairs.grounds() for case in pairs.cases(rig, ground)]
        assert len(cases) > 200
        for case in cases[coordinator::2]:  # each coordinator has every other pair
            rig.run(case).check()
