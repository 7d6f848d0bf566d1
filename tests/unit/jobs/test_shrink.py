"""Shrinking: the simplest job that fails in the same way, in the domain's order, within a number of runs, the same every time."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ckpt_harness.jobs.coverage import steps
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.shrink import can_run, shrink
from ckpt_harness.jobs.simpler import simpler
from ckpt_harness.jobs.simplicity import simplicity

LONG = Job.parse(
    "save a coordinator=1; async b planner=plan-caching; save c; wait; retry; restart 3 way=subgroup; load latest; heal; save a; prune 1; load a ranks=2",
    faults="save[1]/writer.write_data@1,2#1x*=raise(OSError:EIO); async_save[1]/writer.finish@coordinator!after=raise; save[2]/fs.write@others#2=hang?",
    ranks=3,
    workload="mixed",
    seed=7,
)


def _has(*wanted: str) -> Callable[[Job], bool]:
    """Whether a job has these steps, in this order."""

    def found(job: Job) -> bool:
        rest = iter(steps(job))
        return all(step in rest for step in wanted)

    return found


def _struck(site: str) -> Callable[[Job], bool]:
    return lambda job: any(fault.site == site for fault in job.faults)


@pytest.mark.parametrize(
    ("fails", "line"),
    [
        (_has("save"), "ckpt-harness job 'save a' --ranks 1 --workload replicated"),
        (_has("save", "overwrite"), "ckpt-harness job 'save a; save a' --ranks 1 --workload replicated"),
        (_has("async", "wait"), "ckpt-harness job 'async a; wait' --ranks 1 --workload replicated"),
        (_has("save", "restart", "load"), "ckpt-harness job 'save a; restart; load a' --ranks 1 --workload replicated"),
        (_has("save", "retry"), "ckpt-harness job 'save a; retry' --ranks 1 --workload replicated"),
        (lambda job: any(life.ranks == 3 for life in job.lives), "ckpt-harness job 'save a' --ranks 3 --workload replicated"),
        (lambda job: any(life.way == "subgroup" for life in job.lives), "ckpt-harness job 'load a' --ranks 2 --workload replicated --way subgroup"),
        (lambda job: job.seed == 7, "ckpt-harness job 'save a' --ranks 1 --workload replicated --seed 7"),
        (
            _struck("writer.write_data"),
            "ckpt-harness job 'save a' --faults 'save[1]/writer.write_data@0=raise' --ranks 1 --workload replicated",
        ),
        (
            lambda job: _has("save", "save")(job) and _struck("fs.write")(job),
            "ckpt-harness job 'save a; save b' --faults 'save[1]/fs.write@0=diskerror' --ranks 1 --workload replicated",
        ),
        (
            lambda job: any(fault.after and fault.site == "writer.finish" for fault in job.faults),
            "ckpt-harness job 'save a' --faults 'save[1]/writer.finish@0!after=raise' --ranks 1 --workload replicated",
        ),
    ],
)
def test_a_job_shrinks_to_what_a_human_would_write(fails: Callable[[Job], bool], line: str) -> None:
    """Only what the failure needs is left, with usual options."""
    found = shrink(LONG, fails, budget=2_000)
    assert found.finished
    assert found.job.replay_line() == line


def test_shrinking_keeps_to_its_budget() -> None:
    """It stops after the number of runs that it may take, with the best job until then."""
    runs: list[Job] = []

    def fails(job: Job) -> bool:
        runs.append(job)
        return _has("save", "overwrite")(job)

    found = shrink(LONG, fails, budget=5)
    assert (len(runs), found.runs, found.finished) == (5, 5, False)
    assert simplicity(found.job) < simplicity(LONG)
    assert fails(found.job)


def test_shrinking_is_the_same_every_time() -> None:
    """The same jobs are tried, in the same order, and none twice."""
    tried: list[list[Job]] = []
    for _ in range(2):
        runs: list[Job] = []
        shrink(LONG, lambda job, runs=runs: bool(runs.append(job)) or _has("save", "load")(job))  # type: ignore[misc]
        tried.append(runs)
    assert tried[0] == tried[1]
    assert len(set(tried[0])) == len(tried[0])


def test_every_candidate_is_simpler_and_fewer_operations_come_first() -> None:
    """Each candidate is simpler than the job, so that shrinking ends."""
    candidates = list(simpler(LONG))
    assert all(simplicity(candidate) < simplicity(LONG) for candidate in candidates)
    assert len(candidates[0].operations) < len(LONG.operations)
    runnable = [candidate for candidate in candidates if can_run(candidate)]
    assert len(runnable) > len(candidates) // 2


def test_faults_follow_the_operations_that_they_strike() -> None:
    """When an operation before is left out, the number in the address falls."""
    job = Job.parse("save a; save b; save c", faults="save[3]/writer.finish@0=raise")
    found = shrink(job, lambda job: any(str(fault.operation) == f"save[{len(job.operations)}]" for fault in job.faults) and len(job.operations) > 1)
    assert (found.job.text, str(found.job.faults)) == ("save a; save a", "save[2]/writer.finish@0=raise")


def test_a_job_that_cannot_run_costs_no_run() -> None:
    """Candidates that are refused are not run."""
    job = Job.parse("async a; save b; wait; save a")
    ran: list[Job] = []
    shrink(job, lambda job: bool(ran.append(job)))
    assert ran
    assert all(can_run(each) for each in ran)
