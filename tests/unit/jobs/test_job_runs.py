"""Jobs that run on simulated ranks with the real engine: what each operation does, and what is known of it afterwards."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ckpt_harness.errors import OracleViolation, PlanError, UsageError
from ckpt_harness.findings.register import Register
from ckpt_harness.jobs.binding import bind_job
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.result import JobResult
from ckpt_harness.jobs.rig import JobRig
from ckpt_harness.judging.verdict import Verdict

pytestmark = pytest.mark.usefixtures("silence")


@pytest.fixture(scope="module")
def rig() -> Iterator[JobRig]:
    with JobRig() as made:
        yield made


def _holds(result: JobResult, place: str, number: int = 0) -> list[str]:
    """The saves that a place holds in whole, behind an operation counted from 1, or behind the last."""
    seen = result.evidence.done[number - 1].seen
    assert seen is not None
    readings = result.evidence.readings.get(seen[place].content, ())
    return [call for call in readings[0].differences if all(reading.is_whole(call) for reading in readings)] if readings else []


def _loaded(result: JobResult, number: int) -> set[tuple[str, ...]]:
    """The saves whose values the ranks hold behind a load."""
    return {loaded.calls for loaded in result.evidence.done[number - 1].loaded.values()}


@pytest.mark.parametrize(
    ("text", "loaded"),
    [
        ("save a; load a", "save[1]"),
        ("save a; save a; load a", "save[2]"),
        ("save a; save b; load a", "save[1]"),
        ("save b; save a; load latest", "save[2]"),
        ("save a; retry; load a", "save[2]"),
        ("async a; wait; load a", "async_save[1]"),
        ("async a group=own; save b; wait a; load a", "async_save[1]"),
        ("save a; async a staging=blocking; wait; load a", "async_save[1]"),
        ("save a; async a; restart; load a", "async_save[1]"),
        ("save a; restart 3; load a", "save[1]"),
        ("save a; restart 1 way=alone; load a", "save[1]"),
        ("save a; restart 3 way=subgroup engine=filesystem-threads; load a", "save[1]"),
        ("save a; load a ranks=1", "save[1]"),
        ("save a; load a ranks=5", "save[1]"),
        ("save a; load a entries=part", "save[1]"),
        ("save a; save b; prune 1; load latest", "save[2]"),
        ("save a; change keys; save b; load b", "save[2]"),
        ("save a; change shapes; change dtype; save a; load a", "save[2]"),
        ("save a; change nested; save a; load a", "save[2]"),
        ("save a; renew all; save a; load a", "save[2]"),
        ("save a; continue; save b; load a", "save[1]"),
        ("save a coordinator=1 planner=plan-caching; load a coordinator=1", "save[1]"),
    ],
)
def test_without_faults_a_load_gives_what_was_saved_last(text: str, loaded: str, rig: JobRig) -> None:
    """Whatever lies between the save and the load; and no oracle finds anything."""
    result = rig.run(Job.parse(text))
    result.check()
    assert not result.known
    assert _loaded(result, len(result.job.operations)) == {(loaded,)}
    assert result.evidence.done[-1].owed or result.evidence.done[-1].call


def test_a_fault_strikes_the_call_that_it_names_and_no_other(rig: JobRig) -> None:
    """Calls are counted over the whole job: the third save is the second of the second life."""
    result = rig.run(Job.parse("save a; restart 3; save b; save c", faults="save[3]/writer.write_data@2=raise"))
    kinds = [{outcome.kind for outcome in done.outcomes.values()} for done in result.evidence.done]
    assert kinds == [{"returned"}, {"returned"}, {"returned"}, {"raised"}]
    assert result.evidence.fired == {("save[3]/writer.write_data@2=raise", 2, "save[3]")}
    assert result.verdict is Verdict.HOLDS


def test_fresh_ranks_load_beside_an_async_save(rig: JobRig) -> None:
    """Their world is another: there may be more of them than the job has ranks, and a fault on one is no loss to the job."""
    result = rig.run(Job.parse("save a; async b; load a ranks=3; wait; load b", faults="load[1]/reader.read_data@2=kill"))
    assert result.evidence.done[2].outcomes[2].kind == "dead"
    assert _loaded(result, 5) == {("async_save[1]",)}
    assert result.verdict is Verdict.HOLDS


def test_a_load_of_nothing_may_still_lose_a_rank(rig: JobRig) -> None:
    """The load fails by itself, and a fault in it takes the ranks of an async save that is under way."""
    faults = "async_save[1]/writer.write_data.future@1=failfuture(value)?; load[1]/pg.scatter@all!after=kill"
    result = rig.run(Job.parse("async a group=own; load b; restart 1", faults=faults))
    assert {outcome.kind for outcome in result.evidence.done[1].outcomes.values()} == {"dead"}
    assert result.verdict is Verdict.HOLDS, result.complaints()


def test_behind_a_heal_no_fault_strikes(rig: JobRig) -> None:
    """A fault that is addressed to every save strikes those before."""
    result = rig.run(Job.parse("save a; heal; save a; load a", faults="save/writer.write_data@1=raise"))
    assert [call for _, _, call in result.evidence.fired] == ["save[1]"]
    assert _holds(result, "a") == ["save[2]"]
    assert result.verdict is Verdict.HOLDS


def test_ranks_that_are_lost_are_replaced_by_a_restart(rig: JobRig) -> None:
    """What lies between the loss and the restart is not reached."""
    result = rig.run(Job.parse("save a; save b; load a; restart; load latest", faults="save[2]/writer.write_data@1=kill"))
    assert [done.skipped for done in result.evidence.done] == ["", "", "rank 0 hung, rank 1 dead", "rank 0 hung, rank 1 dead", ""]
    assert _loaded(result, 5) == {("save[1]",)}
    assert result.verdict is Verdict.HOLDS


def test_without_a_restart_a_job_ends_where_its_ranks_are_lost(rig: JobRig) -> None:
    """The oracles of single operations judge what led to the loss."""
    result = rig.run(Job.parse("save a; load a", faults="save[1]/writer.reset@1=raise"))
    assert result.evidence.done[1].skipped
    assert result.known == ("DCP-004",)


def test_a_failed_save_leaves_the_checkpoint_before_it(rig: JobRig) -> None:
    """At another place; `latest` goes on naming the whole one."""
    result = rig.run(Job.parse("save a; save b; load latest", faults="save[2]/writer.finish@coordinator=raise(OSError:EIO)"))
    assert set(result.evidence.done[2].latest.values()) == {"a"}
    assert _loaded(result, 3) == {("save[1]",)}
    assert result.verdict is Verdict.HOLDS


def test_two_lives_with_lost_ranks_see_storage_as_the_lost_ranks_left_it(rig: JobRig) -> None:
    """A rank that hangs with an open file does not publish the file while the next life runs."""
    faults = "save[2]/fs.write@1=hang; save[3]/fs.write@0=hang"
    result = rig.run(Job.parse("save a; save b; restart; save c; restart; load latest", faults=faults))
    assert set(result.evidence.done[5].latest.values()) == {"a"}
    assert result.verdict is Verdict.HOLDS


def test_a_rank_that_goes_on_alone_completes_the_save_of_the_others(rig: JobRig) -> None:
    """Without the register, the violation is reported; with it, finding DCP-043 is."""
    job = Job.parse("save a; continue; save b; restart; load latest", faults="save[1]/writer.reset@1=raise")
    assert "DCP-043" in rig.run(job).known
    with JobRig(register=Register()) as bare, pytest.raises(OracleViolation) as caught:
        bare.run(job).check()
    assert "agreement of save[1] VIOLATED" in str(caught.value)
    assert str(caught.value).endswith(job.replay_line())


def test_a_load_on_fresh_ranks_stands_by_itself(rig: JobRig) -> None:
    """It has a world of its own, with ranks that the job does not have, also while an async save is under way."""
    result = rig.run(Job.parse("save b; async a; load b ranks=3", faults="load[1]/reader.read_data@others=raise", ranks=1))
    result.check()
    assert {outcome.kind for outcome in result.evidence.done[2].outcomes.values()} == {"raised"}
    assert len(result.evidence.done[2].outcomes) == 3
    assert set(result.evidence.single) == {"save[1]", "async_save[1]", "load[1]"}


def test_fresh_ranks_that_find_no_checkpoint_load_none(rig: JobRig) -> None:
    """Each has an outcome."""
    result = rig.run(Job.parse("save a; load latest ranks=2", faults="save[1]/writer.finish@0=raise", ranks=1))
    result.check()
    assert [str(outcome) for outcome in result.evidence.done[1].outcomes.values()] == 2 * ["raised FileNotFoundError(there is no checkpoint to load)"]


def test_an_async_save_has_ended_behind_its_wait_also_where_ranks_go_on_alone(rig: JobRig) -> None:
    """A prune counts it among the newest."""
    rig.run(Job.parse("async a; wait; continue; save b; prune 1")).check()


def test_the_same_job_gives_the_same_evidence(rig: JobRig) -> None:
    """Names of contents included."""
    job = Job.parse("async a; save b; wait; restart 3; load latest", faults="save[1]/writer.write_data@0=delay(5)", seed=3)
    first, second = rig.run(job), rig.run(job)
    assert (first.evidence.done, first.evidence.ended, first.judgements) == (second.evidence.done, second.evidence.ended, second.judgements)


def test_a_thousand_numbers_of_saves_do_not_run_out() -> None:
    """The tags of a state hold 511 numbers; later saves use them again."""
    bound = bind_job(Job.parse("; ".join(["save a"] * 600)))
    assert max(call.later for call in bound.calls.values()) < 512
    assert bound.calls[0].save == bound.calls[255].save != bound.calls[1].save


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("load latest", {}, "operation 1, 'load latest': nothing was saved before; valid: after a save or async"),
        ("async a; save a", {}, "operation 2, 'save a': an async save to 'a' is under way; valid: after `wait`, or another place"),
        ("async a; load b coordinator=1", {}, "operation 2, 'load b coordinator=1': an async save is under way; valid: coordinator 0"),
        ("save a; renew group", {}, "'renew group': ranks of way 'together' make no process group of their own; valid: way 'subgroup'"),
        ("save a", {"way": "groups"}, "way 'groups': the ranks of a job share each place; valid: together, alone, subgroup"),
        ("save a", {"world": "attached"}, "world 'attached' does not run jobs: its ranks cannot be restarted; valid: simulated, processes"),
        ("save a", {"world": "processes", "engine": "fsspec-memory"}, "engine 'fsspec-memory' lives in one process"),
        ("save a", {"engine": "tape"}, "unknown engine 'tape'"),
        ("save a", {"engine": "async-thread"}, "'save a': engine 'async-thread' always saves with async_save; valid: async instead of save"),
        ("save a", {"workload": "longer"}, "workload 'longer' (containers that are longer"),
        ("save a; change huge", {}, "unknown workload 'huge'"),
        ("save a; restart 1; save b coordinator=1", {}, "coordinator 1 is outside a world of 1"),
    ],
)
def test_a_job_that_cannot_run_is_refused(text: str, options: dict[str, str], message: str) -> None:
    """Before anything runs, with the value and what would be valid."""
    with pytest.raises((UsageError, PlanError)) as caught:
        bind_job(Job.parse(text, **options))
    assert message in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_fault_is_checked_against_the_ranks_of_its_life() -> None:
    """Rank 2 exists behind the restart only."""
    bind_job(Job.parse("save a; restart 3; save a", faults="save[2]/writer.write_data@2=raise"))
    with pytest.raises(PlanError, match="rank 2 is outside a world of 2"):
        bind_job(Job.parse("save a; restart 3; save a", faults="save[1]/writer.write_data@2=raise"))


def test_a_fault_ends_with_the_operation_that_it_names(rig: JobRig) -> None:
    """A disk that is full in one save has room for the next."""
    result = rig.run(Job.parse("save a; save a; load a", faults="save[1]/fs.write@0=nospace", ranks=1, workload="replicated"))
    assert result.verdict is Verdict.HOLDS, result.complaints()
    assert [next(iter(done.outcomes.values())).kind for done in result.evidence.done] == ["raised", "returned", "returned"]


@pytest.mark.parametrize("faults", ["", "save[2]/writer.finish@0=raise", "save[1]/writer.finish@1=raise; save[2]/writer.write_data@coordinator=raise"])
def test_calls_that_ranks_begin_alone_have_coordinators_of_their_own(rig: JobRig, faults: str) -> None:
    """Each is judged by its own coordinator, and each fault strikes the coordinator of its call."""
    result = rig.run(Job.parse("save a coordinator=1; continue; save b; continue; load b coordinator=1", faults=faults, workload="replicated"))
    assert (result.verdict, result.known) == (Verdict.HOLDS, ()), result.complaints()
    assert {rank for fault, rank, _ in result.evidence.fired if "coordinator" in fault} <= {0}


def test_a_load_owes_what_an_async_save_has_stored_of_a_later_state(rig: JobRig) -> None:
    """Where the copy was left out, training writes into what is saved: that is for ``isolation`` to judge, and not for the load."""
    result = rig.run(Job.parse("async a; wait; load a", faults="async_save[1]/writer.stage@0=skip", ranks=1, workload="replicated"))
    violated = {judgement.oracle for judgement in result.judgements if judgement.verdict is Verdict.VIOLATED}
    assert (result.verdict, violated) == (Verdict.HOLDS, {"isolation"}), result.complaints()


@pytest.mark.parametrize("fault", ["save[1]/fs.close@0#2=hang", "save[1]/fs.create_stream@0#2!after=kill"])
def test_a_file_that_a_lost_rank_has_open_is_not_left_by_the_next_life(rig: JobRig, fault: str) -> None:
    """Also where the next life renames the file: it is the file that was open before."""
    result = rig.run(Job.parse("save a; restart; save a", faults=fault, ranks=1, workload="replicated"))
    assert result.verdict is Verdict.HOLDS, result.complaints()
