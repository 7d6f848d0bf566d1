"""Where faults fired, read from hand-written histories."""

from __future__ import annotations

import pytest

from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.history import Event, History
from ckpt_harness.judging.firings import Firings

FULL = "save[1]/fs.write@1=nospace(4096)"
[FAULT] = FaultPlan.parse(FULL)


def _history(*sites: str) -> History:
    """Rank 1 enters sites; the disk refuses bytes where "full" stands."""
    history = History()
    for site in sites:
        if site == "full":
            history.append(Event(0.0, 1, "fault", "save[1]", "fs.write", 1, FULL))
        else:
            history.append(Event(0.0, 1, "enter", "save[1]", site, 1))
    return history


@pytest.mark.parametrize(
    ("sites", "later"),
    [
        (["writer.write_data", "fs.write", "save_planner.resolve_data", "full"], False),
        (["writer.write_data", "fs.write", "pg.gather", "writer.finish", "fs.write", "full"], True),
        (["writer.write_data", "fs.write", "pg.gather", "writer.finish"], False),
    ],
    ids=["in the write", "in finish", "nowhere"],
)
def test_a_disk_that_refuses_bytes_in_another_call_has_taken_those_of_the_write(sites: list[str], later: bool) -> None:
    """Sites of planners belong to the storage call around them; files and collectives are no storage calls."""
    firings = Firings.of(_history(*sites))
    assert firings.later(FAULT, 1, "save[1]", "writer.write_data") is later
    assert not firings.later(FAULT, 0, "save[1]", "writer.write_data")
