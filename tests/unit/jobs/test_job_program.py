"""A job as a program that a reader follows, its replay line read back, and what makes two failures alike."""

from __future__ import annotations

import ast

import pytest
from hypothesis import given

from ckpt_harness.errors import UsageError
from ckpt_harness.jobs.evidence import AsyncEnding, Done, JobEvidence, Loaded
from ckpt_harness.jobs.happened import happened
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.lines import job_of_line
from ckpt_harness.jobs.program import program
from ckpt_harness.jobs.record import Broken, JobRecord, contains
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.judging.verdict import Judgement, Verdict
from ckpt_harness.strategies import ckpt_jobs


def test_a_job_prints_as_a_program() -> None:
    """One statement for each operation, the faults at the operations that they strike, and what happened."""
    job = Job.parse(
        "save a coordinator=1; continue; retry; async b staging=blocking group=own; wait; restart 3; load latest ranks=1; prune 2; change keys",
        faults="save[1]/writer.finish@1#1x*=raise(OSError:EIO); save[2]/fs.write(*.distcp)@0,1#2!after=diskerror?",
        seed=3,
    )
    assert program(job, ["rank 1 raised OSError"]) == [
        "# 2 ranks, engine filesystem, workload mixed, order of ranks by seed 3",
        'dcp.save(state, checkpoint_id="a", coordinator=1)              # save[1]',
        "    # on rank 1, writer.finish and every later call: raise(OSError:EIO)",
        "    # -> rank 1 raised OSError",
        "# each rank goes on alone, whatever the others do",
        'dcp.save(state, checkpoint_id="a", coordinator=1)  # again     # save[2]',
        "    # on ranks 0, 1, after fs.write(*.distcp), call 2: diskerror",
        'future_b = dcp.async_save(state, checkpoint_id="b", staging="blocking", process_group=its_own) # async_save[1]',
        "every_future.result()",
        "# all ranks end, and new ranks begin: 3 ranks",
        "dcp.load(state, checkpoint_id=latest())  # on 1 fresh rank     # load[1]",
        "remove_all_checkpoints_but_the_newest(2)",
        "state = new_state()  # other keys",
    ]


@given(ckpt_jobs(max_operations=12))
def test_any_job_prints_as_statements_of_python(job: Job) -> None:
    """Whatever the job, its program can be read as Python."""
    ast.parse("\n".join(program(job)).replace("\n    #", "\n#"))


@given(ckpt_jobs())
def test_the_replay_line_is_read_back(job: Job) -> None:
    """Whatever the job."""
    assert job_of_line(job.replay_line()) == job


@pytest.mark.parametrize(
    "line",
    [
        "",
        "rm -r /",
        "ckpt-harness replay '' --op save",
        "ckpt-harness job",
        "ckpt-harness job 'save a",
        "ckpt-harness job 'save a' --ranks",
        "ckpt-harness job 'save a' --ranks two",
        "ckpt-harness job 'save a' --rank 2",
        "ckpt-harness job 'save a' ranks 2",
        "ckpt-harness job 'fly a' --ranks 2",
        "ckpt-harness job 'save a' --faults nonsense",
        "\0\n" * 100,
    ],
)
def test_any_other_line_is_refused_in_one_line(line: str) -> None:
    """The message says what is wrong."""
    with pytest.raises(UsageError) as caught:
        job_of_line(line)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_record_has_what_counts() -> None:
    """Known findings and claims that the engine does not make are no failures."""
    job = Job.parse("save a; load a")
    judgements = [
        Judgement("agreement", Verdict.VIOLATED, "rank 0 returned", "save[1]"),
        Judgement("pairing", Verdict.VIOLATED, known="DCP-001"),
        Judgement("integrity", Verdict.VIOLATED, claimed=False),
        Judgement("filled", Verdict.HOLDS),
        Judgement("fired", Verdict.VACUOUS),
    ]
    record = JobRecord.of(job, judgements, [])
    assert record.broken == (Broken("agreement", "save", Verdict.VIOLATED, "save[1]: rank 0 returned"),)
    assert (record.verdict, record.known, record.claims) == (Verdict.VIOLATED, ("DCP-001",), ("agreement of save",))


def test_another_oracle_is_another_failure() -> None:
    """A simpler job must break the claim of the same oracle; which operation is judged does not matter."""
    record = JobRecord(Job.parse("save a"), Verdict.VIOLATED, (Broken("agreement", "save"),))
    assert record.breaks(Broken("agreement", "load"))
    assert not record.breaks(Broken("pairing", "save"))
    assert not record.breaks(Broken("agreement", "save", Verdict.UNKNOWN))


def test_a_job_contains_what_it_does_too() -> None:
    """The same steps in the same order, and at each the same faults at least."""
    job = Job.parse("save a; load a; save a; load a", faults="save[2]/writer.finish@0=raise; load[2]/reader.read_data@0=hang")
    assert contains(job, Job.parse("save c; save c", faults="save[2]/writer.finish@1=raise(OSError:EIO)"))
    assert not contains(job, Job.parse("save c; save c", faults="save[1]/writer.finish@1=raise"))
    assert not contains(job, Job.parse("save c; save c", faults="save[2]/writer.finish@1=hang"))
    assert not contains(job, Job.parse("save c; restart; save c"))


def test_what_happened_is_told_in_words() -> None:
    """Ranks with the same ending together; nothing where all is as usual."""
    job = Job.parse("save a; async b; wait; load latest; restart")
    done = [
        Done(0, outcomes={0: Outcome("returned"), 1: Outcome("returned")}),
        Done(1, outcomes={0: Outcome("returned"), 1: Outcome("dead"), 2: Outcome("dead")}),
        Done(2),
        Done(3, latest={0: "a", 1: None}, loaded={0: Loaded(("save[1]", "async_save[1]"), unfilled=True)}),
        Done(4, skipped="rank 1 dead"),
    ]
    ended = {"async_save[1]": AsyncEnding("async_save[1]", 2, {0: Outcome("hung")})}
    assert happened(JobEvidence(job, done, ended)) == (
        "",
        "rank 0 returned, ranks 1 and 2 dead",
        "async_save[1]: rank 0 hung",
        "latest: a, none; values of async_save[1] and save[1]; a part was not filled",
        "not done: rank 1 dead",
    )
