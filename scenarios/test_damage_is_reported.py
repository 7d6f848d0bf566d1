"""Claim: a load of a damaged checkpoint fails on every rank, or gives the right values. DCP claims no checksums, so a flipped bit does not count against it."""

from __future__ import annotations

import pytest

from ckpt_harness import Case, FaultPlan
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.judging.verdict import Verdict

pytestmark = pytest.mark.ckpt_runs_in("simulated", "processes")

FILES = (".metadata", "__0_0.distcp", "__1_0.distcp")


@pytest.mark.parametrize("file", FILES)
@pytest.mark.parametrize("damage", ["diskerror(ENOENT)", "staleread", "truncate(0)", "truncate(100)", "zerofill", "misdirect"])
@pytest.mark.parametrize("ranks", ["all", "1"])
def test_a_missing_truncated_zeroed_or_swapped_file_is_noticed(ckpt_rig, file, damage, ranks):
    """Every rank gets an error or the right values; no rank reports success with wrong values."""
    result = ckpt_rig.run(Case(FaultPlan.parse(f"fs.create_stream({file})@{ranks}={damage}"), "load", 2))
    assert not any(result.evidence.loaded[result.expectation.operation].values())
    assert result.verdict is Verdict.HOLDS, result.complaints()


def test_a_flipped_bit_in_a_tensor_loads_silently(ckpt_rig):
    """DCP has no checksums: for some bytes of a file, damage leads to wrong values and a reported success."""
    silent = []
    for byte in range(0, 1600, 7):
        plan = FaultPlan.parse(f"fs.create_stream(__0_0.distcp)@all=bitflip({byte})")
        result = ckpt_rig.run(Case(plan, "load", 2, retry=False, engine="filesystem-synced"))  # always this engine: others may detect every flipped bit
        integrity = [judgement for judgement in result.judgements if judgement.oracle == "integrity"]
        assert all(judgement.claimed is False for judgement in integrity), "DCP does not claim integrity"
        silent += [judgement for judgement in integrity if judgement.verdict is Verdict.VIOLATED]
        result.check()
    assert silent
    assert Capability.CHECKSUMS not in result.evidence.capabilities


@pytest.mark.parametrize("effect", ["tornwrite(10)", "zerofill", "bitflip(100)"])
def test_bytes_damaged_on_their_way_to_the_disk_are_not_noticed_by_the_save(ckpt_rig, effect):
    """The disk reports success for damaged bytes, so the save succeeds on all ranks; no other claim is broken."""
    result = ckpt_rig.check(Case(FaultPlan.parse(f"fs.write(*.distcp)@1#3x*={effect}"), "save", 2, retry=False))
    assert {outcome.kind for outcome in result.outcomes.values()} == {"returned"}
