"""``async_save`` owes what ``save`` owes; only, its future says it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from harness import Case, FailFuture, Raise
from harness.strategies import fault_plans, world_sizes
from harness.workload import WORKLOADS


@given(data=st.data())
def test_the_future_of_every_rank_tells_of_every_failure(ckpt_rig, data):
    """Whatever fails while the ranks upload, each one's future raises what a plain save would have raised."""
    ranks = data.draw(world_sizes(5), label="ranks")
    plan = data.draw(fault_plans(ranks=ranks, op="async_save", max_faults=3, effects=(Raise, FailFuture)), label="failures")
    workload = data.draw(st.sampled_from(sorted(WORKLOADS)), label="workload")
    ckpt_rig.check(Case(plan, "async_save", ranks, workload=workload))


@given(data=st.data())
def test_an_async_save_ends_as_a_plain_save_does(ckpt_rig, data):
    """The same failures, the same exceptions on the same ranks, and the same left on storage."""
    ranks = data.draw(world_sizes(4), label="ranks")
    plan = data.draw(fault_plans(ranks=ranks, op="save", max_faults=2, effects=(Raise, FailFuture)), label="failures")

    plain, in_background = (ckpt_rig.check(Case(plan, operation, ranks)) for operation in ("save", "async_save"))

    if not plain.known and not in_background.known:
        assert {rank: (one.kind, one.error) for rank, one in plain.outcomes.items()} == {
            rank: (one.kind, one.error) for rank, one in in_background.outcomes.items()
        }
        assert plain.evidence.storage["save[1]"].committed == in_background.evidence.storage["async_save[1]"].committed
