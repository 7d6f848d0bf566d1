"""Simulated ranks and processes show the same of drawn jobs: a few jobs here, hundreds with ``python benchmarks/stress_jobs.py``."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import pytest

from ckpt_harness.campaigns.compare_jobs import differing, simulated_twin
from ckpt_harness.campaigns.fuzz.running import run_one
from ckpt_harness.campaigns.fuzz.search import Drawing
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.rig import JobRig
from ckpt_harness.judging.verdict import Verdict
from ckpt_harness.strategies.job_menu import JobMenu
from ckpt_harness.worlds.processes import Crews


@pytest.fixture
def rig(crews: Crews, silence: None) -> Iterator[JobRig]:
    with JobRig() as rig:
        yield rig


def test_drawn_jobs_show_the_same_in_both_worlds(rig: JobRig) -> None:
    """The same verdicts, broken claims and known findings."""
    drawn = Drawing(JobMenu(world="processes", max_operations=6), seed=0)
    pairs = ((twin, job) for job in drawn for twin in [simulated_twin(job)] if twin is not None)
    records = [(run_one(rig, twin), run_one(rig, job)) for twin, job in itertools.islice(pairs, 8)]
    assert any(record.job.faults for record, _ in records)
    assert [real.job.replay_line() for simulated, real in records if differing(simulated, real)] == []


@pytest.mark.parametrize("effect", ["kill", "hang", "stop"])
def test_a_rank_that_is_lost_ends_a_life_and_new_processes_resume(rig: JobRig, effect: str) -> None:
    """The save before is whole, and the ranks of the next life resume from it."""
    faults = f"save[2]/writer.write_data@1={effect}"
    result = rig.run(Job.parse("save a; save b; restart 3; load latest; save b; load b", faults=faults, world="processes"))
    assert result.verdict is Verdict.HOLDS, result.complaints()
    assert {loaded.calls for loaded in result.evidence.done[3].loaded.values()} == {("save[1]",)}
    assert {loaded.calls for loaded in result.evidence.done[5].loaded.values()} == {("save[3]",)}


def test_fresh_processes_load_beside_the_ranks_of_the_job(rig: JobRig) -> None:
    """While an async save of the ranks is under way, five other processes load, one of which is killed."""
    faults = "load[1]/reader.read_data@4=kill"
    result = rig.run(Job.parse("save a; async b group=own; load a ranks=5; wait; load b", faults=faults, world="processes"))
    assert result.verdict is Verdict.HOLDS, result.complaints()
    assert result.evidence.done[2].outcomes[4].kind == "dead"
    assert {loaded.calls for loaded in result.evidence.done[4].loaded.values()} == {("async_save[1]",)}
