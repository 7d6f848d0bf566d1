"""Claim: every rank learns of a failed call into foreign code, also of a call outside the guarded protocol steps. DCP breaks this claim (known findings)."""

from __future__ import annotations

import pytest

from ckpt_harness import Case, FaultPlan
from ckpt_harness.faults.sites import OPERATION_KINDS, SITES
from ckpt_harness.strategies import storage_sites

pytestmark = pytest.mark.ckpt_runs_in("simulated", "processes")

UNGUARDED = [(operation, site) for operation in OPERATION_KINDS for site in storage_sites(operation) if not SITES[site].guarded]


@pytest.mark.parametrize(("operation", "site"), UNGUARDED)
@pytest.mark.parametrize("rank", [0, 2])
def test_every_rank_learns_of_a_call_that_fails_before_the_first_step(ckpt_rig, operation, site, rank):
    """One rank fails before the first protocol step. The other ranks must not wait for that rank."""
    ckpt_rig.check(Case(FaultPlan.parse(f"{operation}/{site}@{rank}=raise(OSError:EIO)"), operation, ranks=3))


@pytest.mark.parametrize(("operation", "site"), [("save", "state_dict"), ("load", "state_dict"), ("load", "load_state_dict")])
@pytest.mark.parametrize("rank", [0, 2])
def test_every_rank_learns_of_an_error_in_a_stateful(ckpt_rig, operation, site, rank):
    """``state_dict`` or ``load_state_dict`` of a ``Stateful`` raises on one rank."""
    ckpt_rig.check(Case(FaultPlan.parse(f"{operation}/state.{site}@{rank}=raise(ValueError)"), operation, 3, workload="stateful"))
