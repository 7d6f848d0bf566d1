"""The search over all crash points finds each planted bug. Each bug is planted in a correct storage, and the harness gets no hint."""

from __future__ import annotations

import pytest
from bugs_disk import CRASH_BUGS, CrashBug
from planting import planted

from ckpt_harness.campaigns.crashes import Crashes, crashes
from ckpt_harness.engines.names import find_engine
from ckpt_harness.findings.register import Register

pytestmark = pytest.mark.usefixtures("silence")


def _broken(report: Crashes) -> set[str]:
    """The broken claims that the engine makes and that no known finding explains."""
    claimed, known = find_engine(report.scene.engine).capabilities, report.known(Register.shipped())
    return {claim for claim, shown, needed in report.violated() if shown not in known and (needed is None or needed in claimed)}


def test_the_planted_bugs_are_many_and_different() -> None:
    """At least ten bugs, with different names and edits; each claim about crashes is broken by at least one bug."""
    assert len(CRASH_BUGS) >= 10
    assert len({bug.name for bug in CRASH_BUGS}) == len({bug.edits for bug in CRASH_BUGS}) == len(CRASH_BUGS)
    assert len(frozenset().union(*(bug.caught_by for bug in CRASH_BUGS))) == 3


@pytest.mark.parametrize("bug", CRASH_BUGS, ids=[bug.name for bug in CRASH_BUGS])
def test_a_crash_shows_a_planted_bug(bug: CrashBug) -> None:
    """With the bug, exactly its claims are violated, with an example for each result; without the bug, no claim is violated in any state."""
    with planted(bug.edits):
        report = crashes(bug.scene, bug.model)
    assert _broken(report) == bug.caught_by
    assert {example.shown for example in report.examples} == set(report.shown)
    sound = crashes(bug.scene, bug.model)
    assert sound.exhaustive
    assert sound.violated() == []
