"""The oracle that reads the history: who called what, in which order, and how often."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.protocol import DCP, DCP_ALONE, Operation, Protocol, Step, groups_of
from ckpt_harness.history import Event, History
from ckpt_harness.judging.evidence import Evidence, Outcome
from ckpt_harness.judging.expectation import Ending, Expectation, Forecast
from ckpt_harness.judging.model import forecast
from ckpt_harness.judging.oracles.order import course
from ckpt_harness.judging.trace import Trace
from ckpt_harness.judging.verdict import Verdict

Calls = list[tuple[int, str]]
GOOD: Calls = [
    (0, "writer.reset"),
    (1, "writer.reset"),
    (1, "writer.storage_meta"),
    (0, "writer.storage_meta"),
    (0, "pg.gather"),
    (0, "save_planner.create_global_plan"),
    (0, "writer.write_data"),
    (0, "save_planner.resolve_data"),
    (0, "save_planner.resolve_data"),
    (0, "writer.write_data.future"),
    (1, "writer.write_data"),
    (1, "writer.write_data.future"),
    (0, "writer.finish"),
]
SUCCEEDS = Expectation("save[1]", (0, 1), Ending.SUCCEEDS)


def _reason(calls: Calls, expectation: Expectation = SUCCEEDS, protocol: Protocol = DCP) -> str:
    history, seen = History(), []
    for rank, site in calls:
        seen.append((rank, site))
        history.append(Event(0.0, rank, "enter", "save[1]", site, seen.count((rank, site))))
    (found,) = course(Evidence(Forecast((expectation,), frozenset()), {}, history=history, protocol=protocol))
    assert (found.verdict is Verdict.VIOLATED) == bool(found.reason)
    return found.reason


def _moved(call: tuple[int, str], before: tuple[int, str]) -> Calls:
    calls = [other for other in GOOD if other != call]
    calls.insert(calls.index(before), call)
    return calls


@pytest.mark.parametrize(
    ("calls", "words"),
    [
        (GOOD, ""),
        ([], ""),
        (GOOD[:6], ""),
        (_moved((1, "writer.write_data"), (1, "writer.storage_meta")), "rank 1 calls writer.storage_meta after writer.write_data"),
        (_moved((0, "writer.write_data.future"), (0, "save_planner.resolve_data")), ""),  # a storage that writes on a thread of its own
        ([*GOOD, (0, "save_planner.resolve_data")], "rank 0 calls save_planner.resolve_data after writer.finish"),
        ([*GOOD, (1, "writer.finish")], "rank 1 calls writer.finish, although rank 0 coordinates"),
        ([*GOOD, (0, "writer.finish")], "rank 0 calls writer.finish 2 times"),
        (_moved((0, "writer.finish"), (1, "writer.write_data.future")), "finish is called before ranks [1] have written"),
    ],
)
def test_a_course_is_followed(calls: Calls, words: str) -> None:
    """In order, by whom it is due, as often as declared; an operation that stops early is in order, and items come in any number."""
    reason = _reason(calls)
    assert words in reason
    assert bool(words) == bool(reason)


def test_nothing_is_committed_that_a_rank_could_not_write() -> None:
    """A commit after a failure is a violation, even if its checkpoint were whole; a failure of the commit itself is not."""

    def owed(text: str) -> Expectation:
        trace = Trace.nominal(["save[1]"], groups_of(2, 0, DCP), DCP)
        (found,) = forecast(FaultPlan.parse(text).bind(2), trace).expectations
        assert found.ending is Ending.FAILS
        return found

    assert "finish is called although ranks [1] have failed" in _reason(GOOD, owed("writer.write_data@1!after=raise"))
    assert _reason(GOOD[:-1], owed("writer.write_data@1!after=raise")) == ""
    assert _reason(GOOD, owed("writer.finish@0=raise")) == ""


def test_apart_each_rank_commits_what_it_has_written_itself() -> None:
    """Whether the others have is their own affair; but none commits before it has, or after it has failed."""
    owed = Expectation("save[1]", (0, 1), Ending.SUCCEEDS, apart=True)
    alone = [site for rank, site in GOOD if rank == 0]
    one_by_one = [(rank, site) for rank in (0, 1) for site in alone]
    assert _reason(one_by_one, owed, DCP_ALONE) == ""
    early = [(0, site) for site in alone] + [(1, site) for site in alone if site != "writer.write_data.future"]
    assert "finish is called before ranks [1] have written" in _reason(early, owed, DCP_ALONE)


def test_alone_every_rank_may_commit() -> None:
    """Without collectives each rank coordinates itself."""
    alone = [(1, site) for rank, site in GOOD if rank == 0]
    assert _reason(alone, Expectation("save[1]", (1,), Ending.SUCCEEDS, coordinator=1), DCP_ALONE) == ""


def test_a_protocol_without_the_call_that_writes_has_its_own_course() -> None:
    """What is nested in that call elsewhere has a place of its own, and who commits waits for nobody's future."""
    step = Step("write", map=("save_planner.finish_plan", "save_planner.resolve_data"), reduce=("writer.finish",))
    apart = Protocol("writes apart", {"save": Operation((), (step,))})
    calls = [(0, "save_planner.finish_plan"), (0, "save_planner.resolve_data"), (0, "writer.finish")]
    assert _reason(calls, protocol=apart) == ""
    assert _reason(calls[::-1], protocol=apart) == (
        "rank 0 calls save_planner.resolve_data after writer.finish; rank 0 calls save_planner.finish_plan after writer.finish"
    )


def _without(site: str) -> Protocol:
    """DCP's protocol of a save, without one of its calls."""
    declared = DCP.operations["save"]
    steps = tuple(replace(step, map=tuple(call for call in step.map if call != site)) for step in declared.steps)
    before = tuple(call for call in declared.before if call != site)
    return Protocol("less", {"save": replace(declared, before=before, steps=steps)})


def test_a_call_that_the_protocol_leaves_out_is_named() -> None:
    """An engine may leave calls of DCP out of its protocol, and then never makes them."""
    less = _without("writer.storage_meta")
    reason = "calls writer.storage_meta, which the protocol 'less' leaves out"
    assert _reason(GOOD, protocol=less) == f"rank 0 {reason}; rank 1 {reason}"
    assert _reason([call for call in GOOD if call[1] != "writer.storage_meta"], protocol=less) == ""


def test_an_unguarded_call_that_the_protocol_leaves_out_is_accepted() -> None:
    """Whether DCP calls ``reset`` depends on the way of calling, also without a fault."""
    assert _reason(GOOD, protocol=_without("writer.reset")) == ""


def test_who_reports_success_has_made_every_call() -> None:
    """Whoever failed may have left some out, and what is nested in another call depends on the state."""
    history = History()
    for site in (site for step in DCP.operations["load"].steps for site in step.map if site != "load_planner.finish_plan"):
        history.append(Event(0.0, 0, "enter", "load[1]", site, 1))
    owed = Expectation("load[1]", (0,), Ending.SUCCEEDS)
    evidence = Evidence(Forecast((owed,), frozenset()), {"load[1]": {0: Outcome("returned")}}, history=history)
    assert [judgement.reason for judgement in course(evidence)] == ["rank 0 never calls load_planner.finish_plan"]
    assert [judgement.reason for judgement in course(replace(evidence, outcomes={"load[1]": {0: Outcome("raised")}}))] == [""]
