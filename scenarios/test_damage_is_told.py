"""A committed checkpoint whose files are damaged: what DCP makes of it. It claims no checksums, so silent damage is told, and does not count."""

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
def test_a_file_that_is_gone_cut_zeroed_or_swapped_is_noticed(ckpt_rig, file, damage, ranks):
    """Every rank is told, or gets the right values; none gets wrong ones with success."""
    result = ckpt_rig.run(Case(FaultPlan.parse(f"fs.create_stream({file})@{ranks}={damage}"), "load", 2))
    assert not any(result.evidence.loaded[result.expectation.operation].values())
    assert result.verdict is Verdict.HOLDS, result.complaints()


def test_a_flipped_bit_of_a_tensor_loads_silently(ckpt_rig):
    """DCP has no checksums: among all bytes of a file there are some whose damage gives wrong values and success."""
    silent = []
    for byte in range(0, 1600, 7):
        plan = FaultPlan.parse(f"fs.create_stream(__0_0.distcp)@all=bitflip({byte})")
        result = ckpt_rig.run(Case(plan, "load", 2, retry=False, engine="filesystem-synced"))  # whatever engine is asked for: others may detect all
        integrity = [one for one in result.judgements if one.oracle == "integrity"]
        assert all(one.claimed is False for one in integrity), "DCP does not claim it"
        silent += [one for one in integrity if one.verdict is Verdict.VIOLATED]
        result.check()
    assert silent
    assert Capability.CHECKSUMS not in result.evidence.capabilities


@pytest.mark.parametrize("effect", ["tornwrite(10)", "zerofill", "bitflip(100)"])
def test_bytes_damaged_on_their_way_to_the_disk_are_not_noticed_by_the_save(ckpt_rig, effect):
    """The disk says yes: the save succeeds on all ranks, who agree, and nothing else is touched."""
    result = ckpt_rig.check(Case(FaultPlan.parse(f"fs.write(*.distcp)@1#3x*={effect}"), "save", 2, retry=False))
    assert {outcome.kind for outcome in result.outcomes.values()} == {"returned"}
