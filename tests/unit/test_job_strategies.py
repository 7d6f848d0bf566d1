"""Jobs that are drawn can be run, come back to their places, and shrink to jobs that a human would write."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, find, given, settings

from ckpt_harness.campaigns.fuzz.search import Drawing
from ckpt_harness.errors import UsageError
from ckpt_harness.faults.effects import Hang, Kill
from ckpt_harness.jobs.binding import bind_job
from ckpt_harness.jobs.coverage import Coverage, pairs, steps
from ckpt_harness.jobs.fault_classes import FAULT_CLASSES, class_of
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.operations import OPERATIONS, AsyncSave, Load, Save
from ckpt_harness.strategies import ckpt_jobs
from ckpt_harness.strategies.job_menu import JobMenu, usual_ways, usual_workloads
from ckpt_harness.strategies.job_words import WORDS

SEARCH = settings(max_examples=2_000, derandomize=True, database=None, phases=[Phase.generate, Phase.shrink])


def _drawn(count: int, **fields: Any) -> list[Job]:
    """The first jobs of a search."""
    return list(islice(Drawing(JobMenu(**fields), 0), count))


@given(ckpt_jobs(ways=["together", "subgroup", "alone"], max_operations=20, max_faults=4))
def test_every_job_can_be_run(job: Job) -> None:
    """No job is refused, before or when it is bound."""
    bind_job(job)


@pytest.mark.parametrize("engine", ["filesystem", "filesystem-threads", "async-thread", "fsspec-memory", "huggingface"])
def test_every_job_of_a_search_can_be_run(engine: str) -> None:
    """The same for jobs of a steered search, whatever the engine can hold and do."""
    for job in _drawn(150, engines=(engine,), workloads=usual_workloads(engine), ways=usual_ways([2, 3, 1]), max_operations=20, max_faults=4):
        bind_job(job)


class Small:
    """A manager that saves and resumes, and no more."""

    def __init__(self, directory: Path) -> None: ...
    def save(self, state: dict[str, Any], step: int) -> None: ...
    def latest(self) -> int | None: ...
    def load(self, state: dict[str, Any], step: int) -> None: ...
    def path(self, step: int) -> Path:
        return Path(str(step))


@given(ckpt_jobs(manager="plain", max_operations=20, max_faults=4))
def test_every_job_of_a_manager_can_be_run(job: Job) -> None:
    """Its places are steps, which saves never go back to once a later step was saved."""
    bind_job(job)
    steps = [int(operation.place) for operation in job.repeated if isinstance(operation, (Save, AsyncSave))]
    assert (job.manager, steps) == ("plain", sorted(steps))


@given(ckpt_jobs(manager=f"{__name__}:Small", max_operations=20))
def test_what_a_manager_has_no_method_for_is_not_drawn(job: Job) -> None:
    """No async saves, no waits, no pruning."""
    bind_job(job)
    assert not {"async", "wait", "prune", "renew"} & {operation.word for operation in job.operations}


def test_restarts_move_among_engines() -> None:
    """Where several engines are given, jobs begin with the first and go on with any."""
    jobs = _drawn(200, engines=("filesystem", "filesystem-items"))
    assert {job.engine for job in jobs} == {"filesystem"}
    assert {life.engine for job in jobs for life in job.lives} == {"filesystem", "filesystem-items"}
    for job in jobs:
        bind_job(job)


def test_every_operation_and_every_class_of_faults_is_drawn() -> None:
    """Nothing that a job can do is left out."""
    jobs = _drawn(400, workloads=usual_workloads("filesystem"))
    assert {operation.word for job in jobs for operation in job.operations} == {*OPERATIONS} == {*WORDS}
    assert {class_of(fault) for job in jobs for fault in job.faults} == {*FAULT_CLASSES}
    assert {job.workload for job in jobs} == {*usual_workloads("filesystem")}
    assert {job.ranks for job in jobs} == {1, 2, 3}
    assert any(isinstance(operation, Load) and operation.ranks for job in jobs for operation in job.operations)


def test_places_are_used_again() -> None:
    """At least a third of all saves behind the first find their place used."""
    saves: Counter[bool] = Counter()
    for job in _drawn(300):
        used: set[str] = set()
        for operation in job.operations:
            if isinstance(operation, (Save, AsyncSave)):
                saves[operation.place in used] += 1
                used.add(operation.place)
    assert saves[True] > (saves.total() - 300) / 3


def test_some_jobs_save_with_one_unusual_planner_throughout() -> None:
    """So that what one save leaves in a planner shows in the next; and calls that ranks begin alone have coordinators of their own."""
    jobs = _drawn(400)
    kinds = [Counter(operation.planner for operation in job.operations if isinstance(operation, (Save, AsyncSave))) for job in jobs]
    assert sum(saves["plan-caching"] > 1 and saves["plan-caching"] >= saves.total() - 1 for saves in kinds) >= 10
    assert any("coordinator=1; continue" in job.text or "; continue; save a coordinator=1" in job.text for job in jobs)


def test_each_job_of_a_search_leaves_something_out() -> None:
    """About half of the jobs use a part of the operations only, each another part."""
    jobs = _drawn(300, max_operations=30)
    long = [{operation.word for operation in job.operations} for job in jobs if len(job.operations) > 20]
    assert len({frozenset(words) for words in long}) > len(long) / 2
    assert any(len(words) <= 5 for words in long)


def test_a_search_is_the_same_for_the_same_seed() -> None:
    """Other seeds draw other jobs."""
    menu = JobMenu()
    first, again, other = (list(islice(Drawing(menu, seed), 50)) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_search_goes_where_it_has_not_been() -> None:
    """Steered by what was tried, as many jobs leave fewer pairs untried."""
    menu = JobMenu(max_operations=20, max_faults=6)
    steered, blind = Coverage(menu.steps, menu.classes), Coverage(menu.steps, menu.classes)
    for number, job in enumerate(islice(Drawing(menu, 0), 400)):
        steered.add(pairs(job))
        blind.add(pairs(next(iter(Drawing(menu, number)))))
    assert len(steered.untried()) < 0.9 * len(blind.untried())


def test_every_pair_that_is_drawn_is_possible() -> None:
    """So coverage can reach its whole, and never more."""
    menu = JobMenu(workloads=usual_workloads("filesystem"), max_operations=20)
    coverage = Coverage(menu.steps, menu.classes)
    for job in islice(Drawing(menu, 0), 500):
        coverage.add(pairs(job))
    assert coverage.tried.keys() - coverage.possible == set()


@pytest.mark.parametrize(
    ("line", "condition"),
    [
        ("ckpt-harness job 'save a' --ranks 2", lambda job: True),
        ("ckpt-harness job 'save a; save a' --ranks 2", lambda job: "overwrite" in steps(job)),
        ("ckpt-harness job 'save a; load a' --ranks 2", lambda job: "load" in steps(job)),
        ("ckpt-harness job 'save a' --faults 'save[1]/writer.write_data@0=raise' --ranks 2", lambda job: len(job.faults)),
        ("ckpt-harness job 'save a' --ranks 3", lambda job: job.ranks == 3),
        ("ckpt-harness job 'async a; wait' --ranks 2", lambda job: "wait" in steps(job)),
        (
            "ckpt-harness job 'save a; save b' --faults 'save[2]/writer.write_data@0=raise' --ranks 2",
            lambda job: any(str(fault.operation) == "save[2]" for fault in job.faults),
        ),
    ],
)
def test_a_job_shrinks_to_what_a_human_would_write(line: str, condition: Callable[[Job], Any]) -> None:
    """Shrinking prefers fewer operations, fewer faults, and the usual of everything."""
    assert find(ckpt_jobs(), condition, settings=SEARCH).replay_line() == line


@given(ckpt_jobs(ranks=[4], operations=["save", "load"], max_operations=3, max_faults=1, workloads=["nested"], effects=[Hang, Kill], sites=["writer.finish"]))
def test_a_caller_narrows_the_jobs(job: Job) -> None:
    """Only what was asked for is drawn."""
    assert (job.ranks, job.workload) == (4, "nested")
    assert {operation.word for operation in job.operations} <= {"save", "load"}
    assert len(job.operations) <= 3
    assert all(fault.site == "writer.finish" and isinstance(fault.effect, (Hang, Kill)) for fault in job.faults)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"operations": ["save", "fly"]}, "unknown operation 'fly'; valid: save, load, "),
        ({"operations": ["load"]}, "save nothing with engine 'filesystem'; valid: save, async"),
        ({"operations": []}, "at least one"),
        ({"ranks": []}, "at least one"),
        ({"ranks": [0]}, "ranks 0; valid: 1 to "),
        ({"max_operations": 0}, "max_operations 0; valid: 1 to "),
        ({"fault_classes": ["bad luck"]}, "unknown class of faults 'bad luck'; valid: error, "),
        ({"ways": ["apart"]}, "unknown way 'apart'; valid: together, "),
        ({"ways": ["alone"], "ranks": [2]}, "way 'alone' does not work with any of the numbers of ranks (2,)"),
        ({"engine": "huggingface", "workloads": ["objects"]}, "engine 'huggingface' can store none of the workloads 'objects'"),
        ({"engine": "nonsense"}, "unknown engine 'nonsense'"),
        ({"world": "real"}, "unknown world 'real'"),
        ({"sites": ["writer.fly"]}, "unknown site 'writer.fly'"),
        ({"manager": "plane"}, "unknown manager 'plane'; valid: plain, "),
        ({"manager": "plain", "ways": ["subgroup"]}, "manager 'plain' with ways subgroup, engines filesystem; valid: together, one engine"),
        ({"manager": "plain", "engines": ["fsspec-file"]}, "manager 'plain' with ways together, engines filesystem, fsspec-file; valid: together, one engine"),
    ],
)
def test_what_no_job_can_have_is_refused(arguments: dict[str, Any], message: str) -> None:
    """In one line, with the value and the choices, when the strategy is made."""
    with pytest.raises(UsageError) as caught:
        ckpt_jobs(**arguments)
    assert message in str(caught.value)
    assert len(str(caught.value)) < 200
