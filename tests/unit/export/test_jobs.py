"""A job as a script: the statements, what strikes which operation, and what no script says."""

from __future__ import annotations

import ast

import pytest

from ckpt_harness.errors import UsageError
from ckpt_harness.export import job_check
from ckpt_harness.export.faults import Faults
from ckpt_harness.export.job_life import LifeFunction
from ckpt_harness.export.struck import Struck
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.jobs.binding import bind_job
from ckpt_harness.jobs.job import Job


@pytest.mark.parametrize(
    ("job", "said"),
    [
        (Job.parse("save a", way="subgroup"), "way 'subgroup' cannot be exported; valid: together, alone"),
        (Job.parse("save 1", manager="plain"), "manager 'plain' cannot be exported: .*valid: a job without a manager"),
        (Job.parse("save a; restart 1 way=alone; load a"), "ways together, alone cannot be exported together"),
        (Job.parse("save a", engine="fsspec-memory"), "engine 'fsspec-memory' cannot be exported: .*engines: filesystem"),
        (Job.parse("async a staging=engine", workload="stateful"), "staging 'engine' cannot be exported; valid: writer, blocking, background"),
        (Job.parse("save a; load a ranks=1"), "ranks 1 cannot be exported; valid: 0"),
        (Job.parse("save a; load a entries=part"), "entries 'part' cannot be exported; valid: all"),
        (Job.parse("save a; change nested; save a"), "change 'nested' cannot be exported; valid: keys, shapes, dtype"),
        (Job.parse("save a", faults="save[1]/fs.write@0=nospace"), "scripts fail at and above the storage, not below it"),
        (Job.parse("save a", faults="save[1]/writer.finish@0=delay(30)"), "up to 20 s"),
        (Job.parse("async a", faults="async_save[1]/pg.gather@0=raise"), "beside an async save.*valid: save instead of async"),
        (
            Job.parse("save a; load a", faults="save[1]/save_planner.finish_plan@0=raise; load[1]/load_planner.finish_plan@0=raise"),
            "planners of saves and of loads cannot be exported together",
        ),
    ],
    ids=lambda value: value.replay_line() if isinstance(value, Job) else "",
)
def test_what_no_script_says_of_a_job_is_refused(job: Job, said: str) -> None:
    """Before anything runs, in one line with what could be exported instead."""
    with pytest.raises(UsageError, match=said) as caught:
        job_check.check(bind_job(job))
    assert len(str(caught.value)) < 200


def _function(job: Job, number: int = 1) -> list[str]:
    """The statements of a life."""
    struck = [Struck(fault, fault.ranks) for fault in job.faults if isinstance(fault.ranks, tuple)]
    faults = Faults(struck, job.ranks, of_calls=True)
    lines = list(LifeFunction(bind_job(job), job.lives[number - 1], faults).lines())
    ast.parse("\n".join([*faults.blocks, *lines]))
    return [line.strip() for line in lines]


def test_each_operation_is_a_statement() -> None:
    """Ranks meet before each, but around a `continue`; what is under way is waited for at the end of the life."""
    job = Job.parse("save a; continue; save a; async b group=own; load latest; wait; prune 1; restart 3; load b coordinator=1")
    first = _function(job)
    assert first.count("meet()") == 7, "before six operations, and at the end"
    saves = [line for line in first if "save[" in line]
    assert saves == [
        'saw["save[1]", rank] = ended(lambda: dcp.save(state("save[1]", mine), checkpoint_id=f"{root}/a"))',
        'saw["save[2]", rank] = ended(lambda: dcp.save(state("save[2]", mine), checkpoint_id=f"{root}/a"))',
        'upload_1 = begun(lambda: dcp.async_save(state("async_save[1]", mine), checkpoint_id=f"{root}/b", process_group=group_4))',
        'saw["async_save[1]", rank] = ended(upload_1.result)',
    ]
    assert 'saw["load[1]", rank] = ended(lambda: dcp.load(found, checkpoint_id=newest(root, ["a"])), found)' in first, "b is being written"
    assert 'for old in committed(root, ["a", "b"])[:-1]:' in first
    assert _function(job, 2)[-2] == 'saw["load[2]", rank] = ended(lambda: dcp.load_state_dict(found, reader_b, coordinator_rank=1), found)'


def test_objects_are_kept_until_they_are_renewed() -> None:
    """A planner is made once for each kind, and anew where an async save may still use it."""
    made = "save_planner_plan_caching = dcp.DefaultSavePlanner(enable_plan_caching=True)"
    saves = "save a planner=plan-caching; save b planner=plan-caching"
    assert _function(Job.parse(saves)).count(made) == 1
    assert _function(Job.parse(saves.replace(";", "; renew planner;"))).count(made) == 2
    assert _function(Job.parse(saves.replace("save a", "async a"))).count(made) == 1, "that of an async save has its own name"


def test_a_fault_strikes_one_operation() -> None:
    """The object says which operation uses it; calls of no object ask what the rank does."""
    lines = _function(Job.parse("save a; save a", faults="save[2]/writer.finish@0=raise; save[1]/pg.gather@1=raise"))
    assert [line for line in lines if line.startswith(("writer_a", "DOING"))] == [
        "writer_a = Writer(f\"{root}/a\")",
        'writer_a.call = "save[1]"',
        'DOING[0] = "save[1]"',
        'writer_a.call = "save[2]"',
        'DOING[0] = "save[2]"',
    ]
    (fault,) = FaultPlan.parse("save[2]/writer.write_data@1=raise")
    assert 'if self.call == "save[2]" and dist.get_rank() == 1:' in "\n".join(Faults([Struck(fault, (1,))], 2, of_calls=True).blocks)
