"""Claim: every rank receives the original error, with its type, arguments, errno and message."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ckpt_harness import Case, FaultPlan
from ckpt_harness.strategies import ERRORS, coordinators, world_sizes

pytestmark = pytest.mark.ckpt_runs_in("simulated", "processes")


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("fault", ["save/writer.write_data@1=raise({})", "load/reader.read_data@1=raise({})", "save/writer.finish@0=raise({})"])
def test_every_rank_sees_the_error_itself(ckpt_rig, fault, error):
    """For plain errors, errors with an errno, fatal and unpicklable errors, and huge and non-ASCII messages."""
    plan = FaultPlan.parse(fault.format(error))
    ckpt_rig.check(Case(plan, plan.faults[0].operation.kind, ranks=3))


@pytest.mark.ckpt_needs("collectives")
@given(data=st.data())
def test_each_rank_that_failed_is_named_with_its_own_error(ckpt_rig, data):
    """If all ranks fail at the same call with different errors, ``failures`` maps each rank to its own error."""
    ranks = data.draw(world_sizes(5), label="ranks")
    injected = data.draw(st.lists(st.sampled_from(["ValueError", "KeyError", "OSError:EIO", "OSError:ENOSPC"]), min_size=ranks, max_size=ranks), label="errors")
    coordinator = data.draw(coordinators(ranks), label="coordinator")
    plan = FaultPlan.parse("; ".join(f"writer.write_data@{rank}=raise({error})" for rank, error in enumerate(injected)))

    result = ckpt_rig.check(Case(plan, "save", ranks, coordinator))

    expected = [error.removeprefix("OSError:") for error in injected]
    for outcome in result.outcomes.values():
        errors = [outcome.error.failures[rank] for rank in range(ranks)]
        assert [error.errno or error.short_name for error in errors] == expected
