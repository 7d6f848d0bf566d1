"""A search finds bugs of managers by itself, and none in the manager that has none."""

from __future__ import annotations

import pytest
from bugs_jobs import MANAGER_BUGS, ManagerBug

from ckpt_harness.campaigns.fuzz.found import Failure, Found
from ckpt_harness.campaigns.fuzz.running import RunJobs
from ckpt_harness.campaigns.fuzz.search import Limits, Search, Tally
from ckpt_harness.judging.verdict import Verdict
from ckpt_harness.strategies.job_menu import JobMenu

pytestmark = pytest.mark.usefixtures("silence")
SEARCHED = ("NewestDirectory", "NewestByName", "PrunesDirectories", "SkipsAfterFailure", "SwallowsFailures", "StagesNothing", "RefusesTheSameStep")
"""Bugs of several kinds. The others are found by the same search, and take longer."""
EXAMPLES = 400
"""Jobs within which a bug must be found."""


class EnoughError(Exception):
    """What is looked for is found."""


def _menu(manager: str) -> JobMenu:
    return JobMenu(ranks=(2, 3), workloads=("replicated",), classes=("error", "lost", "delay"), max_operations=10, manager=manager)


@pytest.mark.parametrize("bug", [bug for bug in MANAGER_BUGS if bug.manager in SEARCHED], ids=lambda bug: bug.manager)
def test_a_search_finds_what_is_broken_in_a_manager(bug: ManagerBug) -> None:
    """By an oracle that is named for it, in a job that is hardly longer than the shortest that shows it."""
    search = Search(_menu(f"broken_managers:{bug.manager}"), 0, Limits(examples=EXAMPLES))
    caught: list[Failure] = []

    def look(tally: Tally, found: Found) -> None:
        caught.extend(failure for failure in found.failures if {broken.oracle for broken in failure.record.broken} & set(bug.caught_by))
        if caught:
            raise EnoughError

    with pytest.raises(EnoughError):
        search.run(RunJobs(), progress=look)
    assert len(caught[0].record.job.operations) <= len(bug.operations.split(";")) + 1, caught[0].record.job.replay_line()


def test_a_search_finds_nothing_in_the_sound_manager() -> None:
    """With faults of every class."""
    search = Search(JobMenu(ranks=(2, 3, 1), workloads=("mixed", "sharded"), max_operations=10, manager="plain"), 1, Limits(examples=120))
    search.run(RunJobs())
    assert [failure.record.job.replay_line() for failure in search.found.failures] == []
    assert search.tally.drawn == 120
    assert search.tally.verdicts[Verdict.HOLDS] > 60
