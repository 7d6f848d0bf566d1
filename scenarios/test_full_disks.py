"""A disk that is full: at whichever byte, every rank learns of it, nothing is committed, and once there is room again the same ranks succeed."""

from __future__ import annotations

import itertools

import pytest

from ckpt_harness import Case, FaultPlan

pytestmark = pytest.mark.ckpt_runs_in("simulated", "processes")


def _sizes(ckpt_rig, pattern, rank):
    """Where the writes of a file end: the byte ranges that matter begin and end there."""
    result = ckpt_rig.run(Case(FaultPlan.parse(f"fs.write({pattern})@{rank}=nospace(1000000000)?"), "save", 2))
    storage = result.evidence.storage[result.expectation.operation][0]
    assert storage.committed
    return sum(event.site == "fs.write" and event.kind == "enter" for event in result.history.of_rank(rank))


@pytest.mark.parametrize(("pattern", "rank"), [("*.distcp", 0), ("*.distcp", 1), (".metadata.tmp", 0)])
def test_a_disk_may_be_full_at_any_byte(ckpt_rig, pattern, rank):
    """From the first byte to the last, in steps that fall before, at and after the ends of buffers and blocks."""
    assert _sizes(ckpt_rig, pattern, rank) > 1
    for room in itertools.chain(range(0, 300, 37), range(300, 9000, 611)):
        result = ckpt_rig.run(Case(FaultPlan.parse(f"fs.write({pattern})@{rank}=nospace({room})?"), "save", 2))
        result.check()
        committed = result.evidence.storage[result.expectation.operation][0].committed
        assert committed == (not result.evidence.fired), "either everything fits, or nothing is committed"


def test_a_full_disk_is_named_by_its_errno_where_torch_lets_it_through(ckpt_rig):
    """The metadata is pickled, and its error arrives as it was raised; that of a tensor is DCP-030."""
    result = ckpt_rig.check(Case(FaultPlan.parse("fs.write(.metadata.tmp)@0=nospace(10)"), "save", 2))
    assert {outcome.error.failures[0].errno for outcome in result.outcomes.values()} == {"ENOSPC"}
