"""Simulated ranks and processes show the same of a sweep: a part of it here, all of it with ``ckpt-harness sweep --world both``."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ckpt_harness.campaigns.compare_worlds import differences, simulated_twins
from ckpt_harness.campaigns.run_cases import run_one
from ckpt_harness.campaigns.sweep import Sweep, plan_sweep
from ckpt_harness.cases.rig import Rig
from ckpt_harness.worlds.processes import Crews


@pytest.fixture
def rig(crews: Crews, silence: None) -> Iterator[Rig]:
    with Rig() as rig:
        yield rig


@pytest.mark.parametrize(("operation", "ranks"), [("save", 2), ("load", 3)])
def test_a_part_of_the_sweep_shows_the_same_in_both_worlds(rig: Rig, operation: str, ranks: int) -> None:
    """Some cases of each effect, at sites and ranks all over."""
    cases, _ = plan_sweep(Sweep((operation,), (ranks,), world="processes"), rig)  # type: ignore[arg-type]  # one of the literals
    real = cases[::31]
    twins = simulated_twins(real)
    assert len(twins) > 15
    compared, found = differences([run_one(rig, case) for case in (*real, *twins)])
    assert (compared, found) == (len(twins), [])
