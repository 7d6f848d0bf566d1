"""A search finds bugs that live between operations by itself, and shrinks each to a job that a reader takes in at a glance."""

from __future__ import annotations

import pytest
from bugs_between import BUGS, BugOfJobs
from planting import OtherSourceError, planted

from ckpt_harness.campaigns.fuzz.found import Failure, Found
from ckpt_harness.campaigns.fuzz.running import RunJobs
from ckpt_harness.campaigns.fuzz.search import Limits, Search, Tally
from ckpt_harness.strategies.job_menu import JobMenu

pytestmark = pytest.mark.usefixtures("silence")
MENU = JobMenu(ranks=(2,), workloads=("replicated", "stateful"), classes=("error", "lost", "delay"), max_operations=10)
EXAMPLES = 1000
"""Jobs within which a bug must be found. Most are found within twenty; a bug that takes two loads of one place takes hundreds."""


class EnoughError(Exception):
    """What is looked for is found."""


@pytest.mark.parametrize("bug", BUGS, ids=[bug.name for bug in BUGS])
def test_a_search_finds_a_planted_bug(bug: BugOfJobs) -> None:
    """By an oracle that is named for it, in a job that is hardly longer than the shortest that shows it."""
    search = Search(MENU, 0, Limits(examples=EXAMPLES))
    caught: list[Failure] = []

    def look(tally: Tally, found: Found) -> None:
        caught.extend(failure for failure in found.failures if {broken.oracle for broken in failure.record.broken} & bug.caught_by)
        if caught:
            raise EnoughError

    try:
        with planted(bug.edits), pytest.raises(EnoughError):
            search.run(RunJobs(), progress=look)
    except OtherSourceError as error:
        pytest.skip(f"this torch has another source: {error}")
    assert len(caught[0].record.job.operations) <= len(bug.job.split(";")) + 1, caught[0].record.job.replay_line()
