"""Claim: if the disk is full, at whichever byte, every rank fails, nothing is committed, and the same ranks succeed once there is room again."""

from __future__ import annotations

import itertools

import pytest

from ckpt_harness import Case, FaultPlan

pytestmark = pytest.mark.ckpt_runs_in("simulated", "processes")


def _writes(ckpt_rig, pattern, rank):
    """The number of ``write`` calls for a file on a disk with enough room."""
    result = ckpt_rig.run(Case(FaultPlan.parse(f"fs.write({pattern})@{rank}=nospace(1000000000)?"), "save", 2))
    storage = result.evidence.storage[result.expectation.operation][0]
    assert storage.committed
    return sum(event.site == "fs.write" and event.kind == "enter" for event in result.history.of_rank(rank))


@pytest.mark.parametrize(("pattern", "rank"), [("*.distcp", 0), ("*.distcp", 1), (".metadata.tmp", 0)])
def test_the_disk_may_be_full_at_any_byte(ckpt_rig, pattern, rank):
    """The disk has room for 0 to 9,000 bytes, in steps that end before, at and after the ends of buffers and blocks."""
    assert _writes(ckpt_rig, pattern, rank) > 1
    for room in itertools.chain(range(0, 300, 37), range(300, 9000, 611)):
        result = ckpt_rig.run(Case(FaultPlan.parse(f"fs.write({pattern})@{rank}=nospace({room})?"), "save", 2))
        result.check()
        committed = result.evidence.storage[result.expectation.operation][0].committed
        assert committed == (not result.evidence.fired), "everything fits, or nothing is committed"


def test_a_full_disk_arrives_as_enospc_when_the_metadata_is_written(ckpt_rig):
    """An error while the metadata is pickled arrives as it was raised; an error while a tensor is written does not (DCP-030)."""
    result = ckpt_rig.check(Case(FaultPlan.parse("fs.write(.metadata.tmp)@0=nospace(10)"), "save", 2))
    assert {outcome.error.failures[0].errno for outcome in result.outcomes.values()} == {"ENOSPC"}
