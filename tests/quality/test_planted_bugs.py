"""A sweep finds each planted bug. Each bug is planted in the real engine, and the search is the one that a user would run."""

from __future__ import annotations

from collections.abc import Iterator

import bugs_background
import bugs_covered
import bugs_disk
import bugs_grouped
import bugs_named
import bugs_network
import bugs_reported
import bugs_retained
import bugs_stored
import bugs_stuck
import pytest
from hunting import hunt, replayed, violated
from planting import Bug, OtherSourceError, planted

from ckpt_harness.campaigns.sweep import plan_sweep
from ckpt_harness.cases.rig import Rig
from ckpt_harness.faults.sites import SITES
from ckpt_harness.judging.verdict import Verdict

pytestmark = pytest.mark.usefixtures("silence")

FILES = (bugs_reported, bugs_named, bugs_stored, bugs_stuck, bugs_grouped, bugs_background, bugs_disk, bugs_network, bugs_retained, bugs_covered)
BUGS: tuple[Bug, ...] = tuple(bug for file in FILES for bug in file.BUGS)


@pytest.fixture(scope="module")
def sound() -> Iterator[Rig]:
    with Rig() as rig:
        yield rig


def test_the_planted_bugs_are_many_and_different() -> None:
    """At least twenty bugs, with different names and edits."""
    assert len(BUGS) >= 20
    assert len({bug.name for bug in BUGS}) == len({bug.edits for bug in BUGS}) == len(BUGS)


def test_every_oracle_finds_a_planted_bug() -> None:
    """Each oracle must find at least one planted bug; except for ``fired``, which judges the case and not the engine."""
    from ckpt_harness.judging.oracles import ORACLES

    assert {oracle for bug in BUGS for oracle in bug.caught_by} == set(ORACLES) - {"fired"}


@pytest.mark.parametrize("oracle", ["purity", "integrity", "coverage"])
def test_some_bugs_are_found_by_one_oracle_only(oracle: str, sound: Rig) -> None:
    """``purity``, ``integrity`` and ``coverage`` each find a bug that no other oracle finds."""
    alone = [bug for bug in BUGS if bug.caught_by == (oracle,)]
    assert alone
    for bug in alone:
        caught = hunt(bug, sound)
        assert caught is not None
        assert caught.oracles == {oracle}


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_a_planted_bug_is_found(bug: Bug, sound: Rig) -> None:
    """A sweep finds a new violation by the named oracles. The replay line shows the violation with the bug, and not without the bug."""
    try:
        with planted(bug.edits):
            pass
    except OtherSourceError as error:
        pytest.skip(f"this torch has another source: {error}")
    caught = hunt(bug, sound)
    assert caught is not None, "no case of the sweep is violated"
    assert caught.result.verdict is Verdict.VIOLATED
    assert set(bug.caught_by) <= caught.oracles, caught.result.complaints()
    assert not any(judgement.known for judgement in caught.result.judgements if judgement.oracle in bug.caught_by)
    line = caught.result.case.replay_line()
    status, printed = replayed(line, bug.edits)
    if bug.always:
        assert status == 3, printed
        assert "cannot save with no fault: rank " in printed
    else:
        assert status == 1, printed
        assert all(f"VIOLATED {oracle}" in printed for oracle in bug.caught_by), printed
    assert replayed(line)[0] == 0


def test_a_sweep_of_an_engine_with_another_coordinator_goes_on() -> None:
    """Its fault space holds no call that the protocol forbids, so each of its cases can run."""
    (bug,) = (bug for bug in BUGS if bug.name == "the last rank coordinates, whichever rank was asked to")
    with planted(bug.edits), Rig() as rig:
        cases, coverage = plan_sweep(bug.search, rig)
        assert len([case.bind() for case in cases]) > 100
        assert not [cell for _, cell in coverage.reachable if SITES[cell.site].callers == "coordinator"]
        (struck,) = (case for case in cases if str(case.plan) == "writer.write_data@1=raise")
        assert violated(rig.run(struck)) <= {"course"}
