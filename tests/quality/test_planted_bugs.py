"""Does the sweep find the bug? Each is planted in the real engine, and looked for as a user would."""

from __future__ import annotations

from collections.abc import Iterator

import bugs_background
import bugs_disk
import bugs_grouped
import bugs_named
import bugs_network
import bugs_stored
import bugs_stuck
import bugs_told
import pytest
from hunting import hunt, replayed
from planting import Bug, OtherSourceError, planted

from ckpt_harness.cases.rig import Rig
from ckpt_harness.judging.verdict import Verdict

pytestmark = pytest.mark.usefixtures("silence")

BUGS = (*bugs_told.BUGS, *bugs_named.BUGS, *bugs_stored.BUGS, *bugs_stuck.BUGS, *bugs_grouped.BUGS, *bugs_background.BUGS, *bugs_disk.BUGS, *bugs_network.BUGS)


@pytest.fixture(scope="module")
def sound() -> Iterator[Rig]:
    with Rig() as rig:
        yield rig


def test_there_are_many_and_each_is_another() -> None:
    """At least twenty bugs, with names and edits of their own."""
    assert len(BUGS) >= 20
    assert len({bug.name for bug in BUGS}) == len({bug.edits for bug in BUGS}) == len(BUGS)


def test_every_oracle_earns_its_place() -> None:
    """There is a planted bug for each oracle that it must find; ``fired`` alone judges the case and not the engine."""
    from ckpt_harness.judging.oracles import ORACLES

    assert {oracle for bug in BUGS for oracle in bug.caught_by} == set(ORACLES) - {"fired"}


@pytest.mark.parametrize("oracle", ["purity", "integrity"])
def test_what_shows_one_oracle_alone_is_found(oracle: str, sound: Rig) -> None:
    """Of those that look at what was stored, each sees something that no other does."""
    alone = [bug for bug in BUGS if bug.caught_by == (oracle,)]
    assert alone
    for bug in alone:
        caught = hunt(bug, sound)
        assert caught is not None
        assert caught.oracles == {oracle}


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_a_planted_bug_is_found(bug: Bug, sound: Rig) -> None:
    """A sweep finds it with a violation that is not known, the named oracles say so, and the replay line shows it again, with the bug only."""
    try:
        with planted(bug.edits):
            pass
    except OtherSourceError as error:
        pytest.skip(f"this torch reads differently: {error}")
    caught = hunt(bug, sound)
    assert caught is not None, "no case of the sweep is violated"
    assert caught.result.verdict is Verdict.VIOLATED
    assert set(bug.caught_by) <= caught.oracles, caught.result.complaints()
    assert not any(one.known for one in caught.result.judgements if one.oracle in bug.caught_by)
    line = caught.result.case.replay_line()
    status, told = replayed(line, bug.edits)
    assert status == 1, told
    assert all(f"VIOLATED {oracle}" in told for oracle in bug.caught_by), told
    assert replayed(line)[0] == 0
