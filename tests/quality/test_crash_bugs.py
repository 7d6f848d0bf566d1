"""Does the enumeration of crashes find the bug? Each is planted in a storage that is right, and nothing tells the harness where to look."""

from __future__ import annotations

import pytest
from bugs_disk import CRASH_BUGS, CrashBug
from planting import planted

from ckpt_harness.campaigns.crashes import Crashes, crashes
from ckpt_harness.engines.names import find_engine
from ckpt_harness.findings.register import Register

pytestmark = pytest.mark.usefixtures("silence")


def _broken(found: Crashes) -> set[str]:
    """The claims that crashes break, of those that the engine makes and no known finding explains."""
    claimed, known = find_engine(found.scene.engine).capabilities, found.known(Register.shipped())
    return {claim for claim, shown, needed in found.violated() if shown not in known and (needed is None or needed in claimed)}


def test_there_are_many_and_each_is_another() -> None:
    """At least ten, with names and edits of their own; and every claim about crashes is broken by some."""
    assert len(CRASH_BUGS) >= 10
    assert len({bug.name for bug in CRASH_BUGS}) == len({bug.edits for bug in CRASH_BUGS}) == len(CRASH_BUGS)
    assert len(frozenset().union(*(bug.caught_by for bug in CRASH_BUGS))) == 3


@pytest.mark.parametrize("bug", CRASH_BUGS, ids=[bug.name for bug in CRASH_BUGS])
def test_a_crash_shows_a_planted_bug(bug: CrashBug) -> None:
    """Exactly the claims that the bug breaks are violated, with an example for each way; without the bug none is, though all is looked at."""
    with planted(bug.edits):
        found = crashes(bug.scene, bug.model)
    assert _broken(found) == bug.caught_by
    assert {one.shown for one in found.examples} == set(found.shown)
    sound = crashes(bug.scene, bug.model)
    assert sound.exhaustive
    assert sound.violated() == []
