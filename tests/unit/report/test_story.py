"""The story of a case: each operation with its part, what is on storage, and each oracle with its claim."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.judging.oracles import claim_of
from ckpt_harness.report.story import story

pytestmark = pytest.mark.usefixtures("silence")


def _story(case: Case, width: int = 500) -> list[str]:
    text = io.StringIO()
    with Rig() as rig:
        story(Console(file=text, width=width, highlight=False), rig.run(case))
    return text.getvalue().splitlines()


def test_each_operation_is_named_with_its_part() -> None:
    """The retry, and the load that reads back what it saved."""
    lines = [line.strip() for line in _story(Case(FaultPlan.parse("writer.write_data@1=raise")))]
    assert "=> save[2], the retry, without faults: returned" in lines
    assert any(line.endswith("begin save[2], the retry") for line in lines)
    assert "save[1]: no new commit marker" in lines
    assert "load[1], reading back save[2], the retry: everything as saved" in lines


def test_two_saves_at_once_are_told_apart() -> None:
    """In what each rank did, on storage, and in what the oracles judge."""
    lines = [line.strip() for line in _story(Case(operation="async_save", overlap="separate"))]
    assert any(line.endswith("begin async_save[2], at the same time as async_save[1]") for line in lines)
    assert "load[1], reading back async_save[1] on 2 rank(s): everything as saved" in lines
    assert any(line.startswith("HOLDS    agreement of async_save[2]") for line in lines)


def test_each_oracle_states_its_claim_beside_its_verdict() -> None:
    """And where the claim does not hold, why."""
    lines = _story(Case(FaultPlan.parse("writer.write_data@1=raise(unpicklable)")))
    [number] = [number for number, line in enumerate(lines) if line.startswith("KNOWN    bounded (DCP-001)")]
    assert lines[number].endswith(claim_of("bounded"))
    assert lines[number + 1].startswith("         rank 0 hung (all_gather")
    assert f"HOLDS    fired: {claim_of('fired')}" in lines
    assert "verdict HOLDS, with known findings: DCP-001" in lines


def test_claims_are_wrapped_and_replay_lines_are_not() -> None:
    """At 60 columns."""
    lines = _story(Case(FaultPlan.parse("writer.write_data@1=raise(OSError:ENOSPC); writer.finish@0=delay(3)?")), width=60)
    assert lines[-1].endswith("--op save --ranks 2")
    claims = [line for line in lines if line.startswith(("HOLDS", "         ")) and ".000 s" not in line]
    assert all(len(line) <= 60 for line in claims)
