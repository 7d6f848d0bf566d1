"""What a save has replaced may still be there: a load must not take it for what was saved."""

from __future__ import annotations

import pytest

from ckpt_harness.cases.case import Case, Onto
from ckpt_harness.cases.rig import Rig
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.judging.verdict import Verdict

pytestmark = pytest.mark.usefixtures("silence")


def _broken(plan: str, engine: str, onto: Onto) -> set[str]:
    """The oracles that a load violates."""
    with Rig() as rig:
        result = rig.run(Case(FaultPlan.parse(plan), "load", engine=engine, workload="stateful", onto=onto))
    return {judgement.oracle for judgement in result.judgements if judgement.counts is Verdict.VIOLATED}


def test_a_load_that_falls_back_to_what_was_replaced_is_found() -> None:
    """Only a load of a checkpoint that has replaced another finds it: elsewhere there is nothing to fall back to."""
    unreadable = "fs.create_stream(.metadata)@1=diskerror"
    assert "filled" in _broken(unreadable, "stale_storage:FALLING_BACK", "checkpoint")
    assert "filled" not in _broken(unreadable, "stale_storage:FALLING_BACK", "nothing")


@pytest.mark.parametrize("engine", ["filesystem", "fsspec-memory", "stale_storage:FALLING_BACK", "stale_storage:REFUSING"])
def test_a_load_of_a_checkpoint_that_has_replaced_another_holds(engine: str) -> None:
    """Also where the engine refuses to replace: the checkpoint then has replaced nothing."""
    assert _broken("", engine, "checkpoint") == set()
