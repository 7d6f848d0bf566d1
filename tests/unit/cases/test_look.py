"""What is read off a history and two fingerprints, before anything that was stored is loaded."""

from __future__ import annotations

import pytest

from ckpt_harness.cases.look import Commits, files_left
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.history import Event, History

AFTER = "writer.finish@0!after=raise"
BELOW = "fs.rename@0=diskerror(EIO)"


def _events(*kinds: str, detail: str = "", rank: int = 0) -> list[Event]:
    return [Event(0.0, rank, kind, "save[1]", "writer.finish", 1, detail if kind == "fault" else "") for kind in kinds]


@pytest.mark.parametrize(
    ("plan", "events", "acted", "reported"),
    [
        ("", [], set(), set()),
        ("", _events("enter"), set(), set()),  # the rank died within the call, or before it acted
        ("", _events("enter", "exit"), {0}, {0}),
        ("", _events("enter", "raised"), {0}, set()),  # an error of the storage's own: it may have committed before
        ("writer.finish@0=raise", _events("enter", "fault", detail="writer.finish@0=raise"), set(), set()),
        (AFTER, _events("enter", "fault", detail=AFTER), {0}, {0}),  # only the acknowledgement was lost
        (BELOW, [*_events("enter"), Event(0.0, 0, "fault", "save[1]", "fs.rename", 1, BELOW)], {0}, set()),
        (BELOW, [Event(0.0, 0, "fault", "save[1]", "fs.rename", 1, BELOW), *_events("exit", rank=1)], {1}, {1}),
    ],
)
def test_which_ranks_committed_is_read_off_the_history(plan: str, events: list[Event], acted: set[int], reported: set[int]) -> None:
    """Ranks that may have committed, and those that did."""
    commits = Commits.of(History(events), "save[1]", FaultPlan.parse(plan))
    assert (commits.acted, commits.reported) == (acted, reported)


def test_a_commit_of_another_operation_does_not_count() -> None:
    """Two saves may overlap."""
    assert Commits.of(History(_events("enter", "exit")), "save[2]", FaultPlan()) == Commits(frozenset(), frozenset())


def test_files_of_a_save_that_succeeded_are_final() -> None:
    """A temporary file counts once the save has reported success; a late one always."""
    then = {"data": "1", "meta.tmp": "2"}
    assert list(files_left("save[1]", then, then, succeeded=False)) == []
    assert list(files_left("save[1]", then, then, succeeded=True)) == ["temporary file meta.tmp of save[1]"]
    assert list(files_left("save[1]", then, {"data": "3"}, succeeded=True)) == ["data of save[1] was written after the operation had ended"]
