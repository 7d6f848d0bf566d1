"""The drill finds bugs that authors of trainers make, each by the oracle that is meant for it; and says nothing of a correct trainer."""

from __future__ import annotations

from pathlib import Path

import pytest
from bugs_trainers import BUGS
from drilling import TrainerBug, drilled

from ckpt_harness.drill.campaign import Drilled
from ckpt_harness.drill.oracles import ORACLES


def _complaints(found: Drilled) -> dict[str, list[str]]:
    """Oracle -> what it says."""
    said: dict[str, list[str]] = {}
    for outcome in found.outcomes:
        for oracle, reasons in outcome.reasons.items():
            if reasons:
                said.setdefault(oracle, []).extend(f"{outcome.evidence.effect} at {outcome.evidence.point.name}: {reason}" for reason in reasons)
    for deaths, reasons in found.debris:
        if reasons:
            said.setdefault("retention", []).append(f"{deaths.point.name}: {reasons[0]}")
    return said


@pytest.mark.parametrize("bug", BUGS, ids=lambda bug: bug.name.replace(" ", "-"))
def test_a_planted_bug_is_found_by_its_oracle_alone(bug: TrainerBug, tmp_path: Path) -> None:
    """At the point where it shows, with the effect that it takes."""
    grace = {"grace": 1.5} if bug.caught_by == "ended" else {}
    found = drilled(tmp_path, bug, steps=bug.steps, only=bug.only, effects=(bug.effect,), **grace)
    assert set(_complaints(found)) == {bug.caught_by}, _complaints(found)


def test_every_oracle_has_a_bug() -> None:
    """An oracle without a bug that only it finds might as well be left out."""
    assert {bug.caught_by for bug in BUGS} == set(ORACLES)


def test_nothing_is_said_of_the_correct_trainer(tmp_path: Path) -> None:
    """At all points where the whole job may die, and at a sample of what else may happen."""
    found = drilled(tmp_path, steps=(6, 2), effects=("kill-job",))
    assert _complaints(found) == {}
    assert len([outcome for outcome in found.outcomes if outcome.reached]) > 40


@pytest.mark.parametrize("effect", ["kill-rank", "term", "ENOSPC", "EIO", "hang"])
def test_nothing_is_said_of_the_correct_trainer_after_other_strikes(effect: str, tmp_path: Path) -> None:
    """At a sample of the points."""
    grace = {"grace": 1.5} if effect == "hang" else {}
    found = drilled(tmp_path, steps=(4, 2), effects=(effect,), sample=2, seed=1, **grace)
    assert _complaints(found) == {}
    assert any(outcome.reached for outcome in found.outcomes)
