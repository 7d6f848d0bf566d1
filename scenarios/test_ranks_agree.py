"""Claim: all ranks fail or all ranks succeed, so that no rank relies on a checkpoint that another rank believes lost."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_harness import Case, Delay, FailFuture, Raise
from ckpt_harness.strategies import bound_plans, guarded_sites

pytestmark = pytest.mark.ckpt_runs_in("simulated")  # needs delays of up to an hour, and chosen orders of the ranks


@pytest.mark.parametrize("operation", ["save", "async_save", "load"])
@given(data=st.data())
def test_every_rank_ends_the_same_way(ckpt_rig, operation, data):
    """Errors and delays of any ranks at any calls lead to the same outcome on all ranks."""
    strategy = bound_plans(op=operation, sites=guarded_sites(operation), max_faults=3, effects=(Raise, FailFuture, Delay))
    bound = data.draw(strategy if operation != "async_save" else strategy.filter(lambda bound: bound.coordinator == 0), label="failures")

    result = ckpt_rig.check(Case(bound.plan, operation, bound.world_size, bound.coordinator))

    if result.expectation.agreement and not result.known:
        assert len({outcome.kind for outcome in result.outcomes.values()}) == 1


@pytest.mark.parametrize("operation", ["save", "load"])
@given(data=st.data())
def test_the_order_in_which_ranks_run_changes_nothing(ckpt_rig, operation, data):
    """The same failures under two schedules lead to the same outcome on each rank."""
    bound = data.draw(bound_plans(op=operation, sites=guarded_sites(operation), max_faults=2, effects=(Raise, FailFuture)), label="failures")
    seeds = data.draw(st.lists(st.integers(1, 2**16), min_size=2, max_size=2, unique=True), label="seeds")

    first, second = (ckpt_rig.check(Case(bound.plan, operation, bound.world_size, bound.coordinator, seed=seed)) for seed in seeds)

    if not (first.known or second.known):
        assert _endings(first) == _endings(second)


def _endings(result):
    return {rank: (outcome.kind, outcome.error) for rank, outcome in result.outcomes.items()}
