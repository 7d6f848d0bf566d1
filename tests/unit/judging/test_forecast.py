"""The model, fault by fault: which step fails, who is named, what can no longer fire."""

from __future__ import annotations

from typing import Any

import pytest

from ckpt_harness.faults.calling import find_call_style
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.protocol import DCP, DCP_ALONE, Protocol, groups_of
from ckpt_harness.faults.sites import OperationKind
from ckpt_harness.history import SOME_ERROR
from ckpt_harness.judging.expectation import Ending, Expectation, Forecast
from ckpt_harness.judging.firings import Firings
from ckpt_harness.judging.model import forecast
from ckpt_harness.judging.trace import Moment, Trace


def _forecast(
    text: str, operations: tuple[str, ...] = ("save[1]",), ranks: int = 3, coordinator: int = 0, protocol: Protocol = DCP, **options: Any
) -> Forecast:
    trace = Trace.nominal(operations, groups_of(ranks, coordinator, protocol), protocol)
    return forecast(FaultPlan.parse(text).bind(ranks, coordinator, protocol), trace, **options)


def _owed(text: str, operation: str = "save[1]", coordinator: int = 0) -> Expectation:
    (found,) = _forecast(text, (operation,), coordinator=coordinator).expectations
    return found


def _acting(owed: Expectation) -> list[tuple[str, int]]:
    return sorted((str(acting.bound.fault), acting.rank) for acting in owed.decisive)


def test_nothing_planned_succeeds() -> None:
    """On all ranks, with nothing that must fire."""
    owed = _owed("")
    assert (owed.ending, owed.ranks, owed.failures, owed.must_fire) == (Ending.SUCCEEDS, (0, 1, 2), {}, frozenset())


@pytest.mark.parametrize(
    ("operation", "site", "step"),
    [
        ("save[1]", "writer.reset", ""),
        ("save[1]", "writer.storage_meta", "plan"),
        ("save[1]", "writer.prepare_local_plan", "plan"),
        ("save[1]", "save_planner.finish_plan", "write"),
        ("save[1]", "writer.write_data", "write"),
        ("load[1]", "reader.checkpoint_id", ""),
        ("load[1]", "reader.read_metadata", "plan"),
        ("load[1]", "load_planner.commit_tensor", "read"),
        ("load[1]", "state.load_state_dict", ""),
        ("async_save[1]", "writer.stage", ""),
        ("async_save[1]", "writer.write_data", "write"),
    ],
)
def test_one_error_fails_its_step_everywhere(operation: str, site: str, step: str) -> None:
    """Its rank is named with its error, and the fault must fire; the same claim is stated for sites that nothing guards."""
    owed = _owed(f"{site}@2=raise(OSError:EIO)", operation)
    assert (owed.ending, owed.step, set(owed.failures)) == (Ending.FAILS, step, {2})
    assert owed.failures[2].errno == "EIO"
    assert f"injected at {site} on rank 2" in owed.failures[2].message
    assert owed.must_fire == {(f"{site}@2=raise(OSError:EIO)", 2)}


@pytest.mark.parametrize("coordinator", [0, 2])
def test_what_fails_in_the_reduce_is_the_coordinators(coordinator: int) -> None:
    """Whoever coordinates."""
    owed = _owed("writer.finish@coordinator=raise", coordinator=coordinator)
    assert (owed.step, set(owed.failures), owed.coordinator) == ("write", {coordinator}, coordinator)


@pytest.mark.parametrize(("site", "owed"), [("fs.create_stream", "RuntimeError"), ("fs.close", "StopIteration")])
def test_no_stop_iteration_leaves_a_generator(site: str, owed: str) -> None:
    """Python replaces the error where a call is a generator by its contract, so that no engine could report the error itself."""
    trace = Trace({"save[1]": {0: (Moment("writer.write_data", 1, False), Moment(site, 1, False), Moment("writer.write_data", 1, True))}})
    (found,) = forecast(FaultPlan.parse(f"{site}@0=raise(StopIteration)").bind(1), trace).expectations
    assert found.failures[0].short_name == owed


def test_all_who_fail_in_one_map_are_named() -> None:
    """Every rank's map runs, whatever happens on the others."""
    owed = _owed("writer.write_data@0=raise; save_planner.finish_plan@2=raise(ValueError)")
    assert {rank: error.short_name for rank, error in owed.failures.items()} == {0: "InjectedFault", 2: "ValueError"}
    assert len(owed.must_fire) == 2


@pytest.mark.parametrize(
    ("text", "named", "unfired"),
    [
        ("writer.storage_meta@1=raise; writer.write_data@0=raise", {1}, "writer.write_data@0=raise"),
        ("writer.storage_meta@1=raise; writer.prepare_local_plan@1=raise", {1}, "writer.prepare_local_plan@1=raise"),
        ("writer.prepare_local_plan@2=raise; save_planner.create_global_plan@0=raise", {2}, "save_planner.create_global_plan@0=raise"),
        ("writer.write_data@1=raise; writer.finish@0=raise", {1}, "writer.finish@0=raise"),
        ("writer.write_data@1!after=raise; writer.write_data.future@1=failfuture", {1}, "writer.write_data.future@1=failfuture"),
        ("writer.reset@0=raise; writer.storage_meta@1=raise", {0}, "writer.storage_meta@1=raise"),
    ],
)
def test_a_fault_behind_a_failure_is_not_reached(text: str, named: set[int], unfired: str) -> None:
    """A failure ends its step before the reduce, its step the operation, and its call the rank's map."""
    owed = _owed(text)
    assert set(owed.failures) == named
    assert unfired not in {fault for fault, _ in owed.must_fire}


def test_before_and_after_a_call_are_two_moments() -> None:
    """A lost acknowledgement comes behind the calls that the call itself makes, and ahead of what follows."""
    trace = Trace(
        {
            "save[1]": {
                0: tuple(
                    Moment(*fields)
                    for fields in (
                        ("writer.write_data", 1, False),
                        ("save_planner.resolve_data", 1, False),
                        ("save_planner.resolve_data", 1, True),
                        ("writer.write_data", 1, True),
                    )
                )
            }
        }
    )
    plan = "writer.write_data@0!after=raise(ValueError); save_planner.resolve_data@0=raise"
    (owed,) = forecast(FaultPlan.parse(plan).bind(1), trace).expectations
    assert owed.failures[0].short_name == "InjectedFault"
    (owed,) = forecast(FaultPlan.parse("writer.write_data@0!after=raise").bind(1), trace).expectations
    assert set(owed.failures) == {0}


@pytest.mark.parametrize(
    ("text", "kind", "delayed"),
    [
        ("writer.write_data@1=delay(5)", Ending.SUCCEEDS, 5),
        ("writer.write_data@1=delay(80)", Ending.SUCCEEDS, 80),
        ("writer.write_data@1=delay(100)", Ending.UNDETERMINED, 100),
        ("writer.write_data@1=delay(120)", Ending.STALLS, 120),
        ("writer.write_data@all=delay(500)", Ending.SUCCEEDS, 500),
        ("writer.storage_meta@0=delay(80); writer.write_data@1=delay(80)", Ending.SUCCEEDS, 160),
        ("writer.storage_meta@0=delay(60); writer.prepare_local_plan@0=delay(60)", Ending.STALLS, 120),
        ("writer.reset@0=delay(60); writer.prepare_local_plan@0=delay(60)", Ending.STALLS, 120),
        ("writer.finish@0=delay(120)", Ending.STALLS, 120),
        ("writer.write_data@1=delay(5); writer.write_data@2=raise", Ending.FAILS, 5),
        ("writer.write_data@1=delay(120); writer.write_data@2=raise", Ending.STALLS, 120),
    ],
)
def test_lateness_is_measured_against_the_others(text: str, kind: Ending, delayed: float) -> None:
    """Within the group's timeout (100 s here) a late rank is waited for, beyond it not, and close to it either is right; no rank is late if all are."""
    (owed,) = _forecast(text, timeout=100.0).expectations
    assert (owed.ending, owed.delayed) == (kind, delayed)


@pytest.mark.parametrize("effect", ["hang", "kill"])
@pytest.mark.parametrize("site", ["writer.reset@1", "writer.storage_meta@1", "writer.write_data@1", "writer.finish@0"])
def test_a_lost_rank_stalls_its_peers(site: str, effect: str) -> None:
    """They may wait as long as the backend does; no rank succeeds."""
    owed = _owed(f"{site}={effect}")
    assert (owed.ending, owed.agreement, owed.failures) == (Ending.STALLS, True, {})


def test_a_future_that_never_completes_stalls() -> None:
    """As a hang does; but not behind an error of the call that returns it."""
    assert _owed("writer.write_data.future@1=nevercomplete").ending is Ending.STALLS
    assert _owed("writer.write_data@1=raise; writer.write_data.future@1=nevercomplete").ending is Ending.FAILS


def test_a_stall_outweighs_an_error_beside_it() -> None:
    """The error is never reported, since the exchange never takes place."""
    owed = _owed("writer.write_data@1=raise; writer.write_data@2=hang")
    assert owed.ending is Ending.STALLS
    assert _acting(owed) == [("writer.write_data@2=hang", 2)]


def test_a_stall_behind_the_last_collective_concerns_nobody_else() -> None:
    """The other ranks have received the success by then."""
    owed = _owed("state.load_state_dict@1=hang", "load[1]")
    assert (owed.ending, owed.agreement) == (Ending.UNDETERMINED, False)


@pytest.mark.parametrize(
    ("text", "ending", "delayed"),
    [
        ("writer.write_data@0=raise; stager.synchronize_staging@1=kill", Ending.UNDETERMINED, 0),
        ("writer.write_data@0=delay(5); stager.synchronize_staging@0=hang", Ending.UNDETERMINED, 5),
        ("writer.write_data@0=hang; stager.synchronize_staging@1=kill", Ending.STALLS, 0),
        ("writer.write_data@0=raise; stager.synchronize_staging@1=delay(3600)", Ending.FAILS, 3600),
        ("writer.write_data@0=raise; stager.close@0=delay(5)", Ending.FAILS, 5),
    ],
)
def test_what_an_async_save_does_beside_its_steps_strikes_if_a_step_fails_too(text: str, ending: Ending, delayed: float) -> None:
    """A rank that is lost there may be lost ahead of the failure, so that no fault in the steps must fire."""
    owed = _owed(text, "async_save[1]")
    assert (owed.ending, owed.delayed) == (ending, delayed)
    in_steps = {fault for fault, _ in owed.must_fire if fault.startswith("writer")}
    assert bool(in_steps) == (ending is Ending.FAILS)


@pytest.mark.parametrize(("text", "deceived"), [("writer.write_data@1=skip", True), ("writer.prepare_local_plan@1=wrong", True)])
def test_what_a_lie_leads_to_is_not_foretold(text: str, deceived: bool) -> None:
    """Only agreement is owed, and what storage shows is judged only where the engine claims to notice."""
    owed = _owed(text)
    assert (owed.ending, owed.agreement, owed.deceived) == (Ending.UNDETERMINED, True, deceived)


@pytest.mark.parametrize(
    "later", ["writer.write_data@1=kill", "writer.write_data@1=hang", "pg.gather@1=raise", "writer.write_data@1=delay(9999)"]
)
def test_behind_a_lie_a_lost_rank_cannot_be_ruled_out(later: str) -> None:
    """So not even agreement is owed."""
    assert not _owed(f"writer.storage_meta@0=wrong; {later}").agreement


def _with_collectives(coordinator: int, *, sizes_first: bool = False) -> Trace:
    """A save of two ranks as a run shows it: a collective is called within whatever is going on.

    Args:
        coordinator: the rank that coordinates.
        sizes_first: whether the ranks exchange the sizes of their messages ahead of the gather behind the write, as torch does.
    """
    course = [
        "writer.storage_meta",
        "pg.gather",
        "save_planner.create_global_plan",
        "pg.scatter",
        "writer.write_data",
        *(["pg.all_gather"] if sizes_first else []),
        "pg.gather",
        "writer.finish",
        "pg.broadcast",
    ]
    moments = {}
    for rank in range(2):
        mine = [site for site in course if rank == coordinator or site not in ("save_planner.create_global_plan", "writer.finish")]
        moments[rank] = tuple(
            Moment(site, mine[: index + 1].count(site), after) for index, site in enumerate(mine) for after in (False, True)
        )
    return Trace({"save[1]": moments})


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("pg.gather@0=raise", Ending.STALLS),
        ("pg.gather@1=raise", Ending.STALLS),
        ("pg.gather@1#2=kill", Ending.STALLS),
        ("pg.gather@1!after=raise", Ending.UNDETERMINED),
        ("pg.scatter@0=raise", Ending.STALLS),
        ("pg.scatter@1=raise", Ending.UNDETERMINED),
        ("pg.broadcast@0=hang", Ending.STALLS),
        ("pg.broadcast@1=hang", Ending.UNDETERMINED),
    ],
)
def test_a_rank_lost_in_the_exchange_itself(text: str, kind: Ending) -> None:
    """If its part is missing the others are stuck; if it only did not hear, they may have succeeded, and agreement is not owed."""
    (owed,) = forecast(FaultPlan.parse(text).bind(2), _with_collectives(0)).expectations
    assert owed.ending is kind
    if kind is Ending.UNDETERMINED:
        assert not owed.agreement


def test_a_late_collective_is_late_like_anything_else() -> None:
    """A delay there loses no rank."""
    (owed,) = forecast(FaultPlan.parse("pg.gather@1=delay(5)").bind(2), _with_collectives(0)).expectations
    assert owed.ending is Ending.SUCCEEDS


@pytest.mark.parametrize(
    ("text", "ending", "delayed"),
    [
        ("writer.write_data@1=raise; pg.gather@1#2=delay(5)", Ending.FAILS, 5),
        ("writer.write_data@1=raise; pg.broadcast@0=delay(5)", Ending.FAILS, 5),
        ("writer.write_data@1=raise; pg.gather@1#2=delay(3600)", Ending.STALLS, 3600),
        ("writer.write_data@1=raise; pg.gather@1#2=hang", Ending.STALLS, 0),
        ("writer.write_data@1=raise; pg.broadcast@0=hang", Ending.STALLS, 0),
        ("writer.write_data@1=raise; pg.broadcast@1=raise", Ending.UNDETERMINED, 0),
        ("writer.storage_meta@0=raise; pg.scatter@0=raise", Ending.STALLS, 0),
    ],
)
def test_a_rank_that_has_failed_still_takes_part_in_the_collectives_of_the_step(text: str, ending: Ending, delayed: float) -> None:
    """By them the ranks learn of the failure, so a fault in a collective strikes as it does without the failure."""
    (owed,) = forecast(FaultPlan.parse(text).bind(2), _with_collectives(0)).expectations
    assert (owed.ending, owed.delayed) == (ending, delayed)
    assert {fault for fault, _ in owed.must_fire} == set(text.split("; "))


@pytest.mark.parametrize(
    ("text", "ending", "delayed"),
    [
        ("pg.broadcast@1!after=delay(3600)", Ending.SUCCEEDS, 3600),
        ("pg.broadcast@1=delay(3600)", Ending.UNDETERMINED, 3600),
        ("pg.broadcast@0=delay(3600)", Ending.STALLS, 3600),
        ("pg.scatter@1!after=delay(3600)", Ending.STALLS, 3600),
        ("pg.scatter@1!after=delay(1000); writer.write_data@1=delay(1000)", Ending.STALLS, 2000),
        ("writer.storage_meta@0=raise; pg.scatter@1!after=delay(3600)", Ending.FAILS, 3600),
    ],
)
def test_behind_a_collective_a_delay_is_late_for_the_next(text: str, ending: Ending, delayed: float) -> None:
    """Behind the last collective, and behind the last of a step that fails, no rank waits for another; nor do ranks that only receive in the last."""
    (owed,) = forecast(FaultPlan.parse(text).bind(2), _with_collectives(0)).expectations
    assert (owed.ending, owed.delayed) == (ending, delayed)


@pytest.mark.parametrize(
    ("sizes_first", "ending", "delayed"), [(False, Ending.SUCCEEDS, 3600), (True, Ending.STALLS, 7200)], ids=["one collective", "two collectives"]
)
def test_delays_of_two_ranks_make_up_for_each_other_ahead_of_one_collective_only(sizes_first: bool, ending: Ending, delayed: float) -> None:
    """Rank 1 is late for the first collective behind the write, and rank 0 is late for the second."""
    plan = FaultPlan.parse("writer.write_data@1=delay(3600); pg.gather@0#2=delay(3600)")
    (owed,) = forecast(plan.bind(2), _with_collectives(0, sizes_first=sizes_first)).expectations
    assert (owed.ending, owed.delayed) == (ending, delayed)


@pytest.mark.parametrize(
    "text", ["writer.write_data@1=raise; pg.gather@1#3=hang", "writer.reset@1=raise; pg.gather@1=hang", "writer.write_data@1=raise; writer.finish@0=hang"]
)
def test_a_rank_that_has_failed_makes_no_other_call(text: str) -> None:
    """Neither the reduce of the step, nor collectives of later steps; and a rank that fails ahead of the steps reaches none of the collectives."""
    course = _with_collectives(0).moments["save[1]"]
    ahead = tuple(Moment("writer.reset", 1, after) for after in (False, True))
    (owed,) = forecast(FaultPlan.parse(text).bind(2), Trace({"save[1]": {rank: ahead + moments for rank, moments in course.items()}})).expectations
    assert text.split("; ")[1] not in {fault for fault, _ in owed.must_fire}


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_rank_that_fails_ahead_of_the_steps_may_report_it_by_a_collective(ranks: int) -> None:
    """An engine that does so meets the faults of the collectives, so how it fails is open."""
    (owed,) = _forecast("writer.reset@0=raise; pg.all_gather@0=raise", ranks=ranks).expectations
    assert (owed.ending, owed.agreement) == (Ending.UNDETERMINED, False)
    (owed,) = _forecast("writer.reset@0=raise", ranks=ranks).expectations
    assert owed.ending is Ending.FAILS


@pytest.mark.parametrize(
    ("error", "exchange", "ending"),
    [
        ("writer.write_data@1=raise(unpicklable)", "pg.broadcast@0=hang", Ending.STALLS),
        ("writer.write_data@1=raise(unloadable)", "pg.broadcast@1=raise", Ending.UNDETERMINED),
        ("writer.write_data@0=raise(local)", "pg.gather@1#2=delay(5)", Ending.FAILS),
    ],
)
def test_behind_an_error_that_cannot_be_sent_a_collective_need_not_be_reached(error: str, exchange: str, ending: Ending) -> None:
    """The rank may never get to the collective, nor may its peers: the case is judged all the same, and is not vacuous."""
    (owed,) = forecast(FaultPlan.parse(f"{error}; {exchange}").bind(2), _with_collectives(0)).expectations
    assert (owed.ending, {fault for fault, _ in owed.must_fire}) == (ending, {error})


@pytest.mark.parametrize("exchange", ["pg.broadcast@1=hang", "pg.gather@1#2!after=raise", "writer.write_data@1=delay(1800)"])
def test_a_lie_may_act_wherever_the_ending_is_open(exchange: str) -> None:
    """A rank that is lost, or late, in a collective may leave the coordinator to commit; what was committed may then be a lie."""
    (owed,) = forecast(FaultPlan.parse(f"fs.create_stream@0=truncate(100)?; {exchange}").bind(2), _with_collectives(0)).expectations
    assert (owed.ending, owed.deceived, owed.damages) == (Ending.UNDETERMINED, True, True)
    (owed,) = forecast(FaultPlan.parse(exchange).bind(2), _with_collectives(0)).expectations
    assert (owed.ending, owed.deceived, owed.damages) == (Ending.UNDETERMINED, False, False)


# -- alone


def test_alone_each_rank_owes_for_itself() -> None:
    """Without collectives the failing rank fails, naming itself 0, and no other rank is concerned."""
    found = _forecast("writer.write_data@1=raise", ranks=2, protocol=DCP_ALONE).expectations
    assert [(owed.ranks, owed.ending, set(owed.failures), owed.coordinator) for owed in found] == [
        ((0,), Ending.SUCCEEDS, set(), 0),
        ((1,), Ending.FAILS, {0}, 1),
    ]


def test_alone_a_late_rank_makes_nobody_wait() -> None:
    """There is no timeout without a group."""
    assert {owed.ending for owed in _forecast("writer.write_data@0=delay(9999)", ranks=2, protocol=DCP_ALONE).expectations} == {Ending.SUCCEEDS}


# -- groups


def _in_way(text: str, way: str, ranks: int, operation: OperationKind = "save", coordinator: int = 0, **options: float) -> tuple[Expectation, ...]:
    style = find_call_style(way)
    protocol = style.protocol(DCP, operation)
    bound = FaultPlan.parse(text).bind(ranks, coordinator, protocol, style.groups(ranks, coordinator))
    return forecast(bound, Trace.nominal([f"{operation}[1]"], bound.groups, protocol), **options).expectations


def test_in_a_group_ranks_are_named_as_it_counts() -> None:
    """Rank 2 of the world is the second of ranks 1 to 3; the coordinator is given as a rank of the world."""
    (owed,) = _in_way("writer.write_data@2=raise; writer.write_data@3=raise(ValueError)", "subgroup", 4, coordinator=2)
    assert (owed.ranks, owed.coordinator, owed.ending) == ((1, 2, 3), 3, Ending.FAILS)
    assert {rank: error.short_name for rank, error in owed.failures.items()} == {1: "InjectedFault", 2: "ValueError"}
    assert _acting(owed) == [("writer.write_data@2=raise", 2), ("writer.write_data@3=raise(ValueError)", 3)]


@pytest.mark.parametrize(
    ("text", "even", "odd"),
    [
        ("", Ending.SUCCEEDS, Ending.SUCCEEDS),
        ("writer.write_data@2=raise", Ending.FAILS, Ending.SUCCEEDS),
        ("writer.finish@coordinator=raise", Ending.FAILS, Ending.FAILS),
        ("writer.write_data@1=hang", Ending.SUCCEEDS, Ending.STALLS),
        ("writer.reset@0=raise; writer.write_data@1=kill", Ending.FAILS, Ending.STALLS),
        ("writer.write_data@0=delay(120)", Ending.STALLS, Ending.SUCCEEDS),
    ],
)
def test_what_befalls_one_group_is_nothing_to_another(text: str, even: Ending, odd: Ending) -> None:
    """Each owes for its own faults."""
    found = _in_way(text, "groups", 4, timeout=100.0)
    assert [(owed.ranks, owed.ending) for owed in found] == [((0, 2), even), ((1, 3), odd)]


# -- without collectives


def test_without_collectives_only_those_who_fail_owe_an_error() -> None:
    """Wherever in the operation each fails; the others need not agree, but must end."""
    (owed,) = _in_way("writer.reset@0=raise; writer.write_data@2=raise(ValueError)", "no_collectives", 3)
    assert (owed.ending, owed.agreement, owed.apart, owed.step) == (Ending.FAILS, False, True, "")
    assert {rank: error.short_name for rank, error in owed.failures.items()} == {0: "InjectedFault", 2: "ValueError"}
    assert len(owed.must_fire) == 2


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("", Ending.SUCCEEDS),
        ("writer.finish@1=raise", Ending.FAILS),
        ("writer.write_data@1=raise; writer.finish@1=raise", Ending.FAILS),
        ("writer.write_data@1=hang", Ending.STALLS),
        ("writer.write_data@0=raise; writer.reset@1=kill", Ending.STALLS),
        ("writer.write_data@1=skip", Ending.UNDETERMINED),
        ("writer.storage_meta@0=delay(60); writer.write_data@0=delay(60)", Ending.STALLS),
        ("writer.storage_meta@0=delay(60); writer.write_data@1=delay(60)", Ending.SUCCEEDS),
    ],
)
def test_without_collectives_ranks_meet_only_at_the_end(text: str, kind: Ending) -> None:
    """There a lost rank is missed, and one that is late in sum beyond the timeout (100 s here)."""
    (owed,) = _in_way(text, "no_collectives", 2, timeout=100.0)
    assert owed.ending is kind


def test_without_collectives_a_rank_goes_no_further_than_its_own_failure() -> None:
    """What it would have called later cannot fire; what others call can."""
    (owed,) = _in_way("writer.write_data@1=raise; writer.finish@1=raise; save_planner.finish_plan@0=raise", "no_collectives", 2)
    assert owed.must_fire == {("writer.write_data@1=raise", 1), ("save_planner.finish_plan@0=raise", 0)}


def test_what_was_saved_without_collectives_is_loaded_with_them() -> None:
    """The whole claim is owed, since the plan does not ask for less."""
    (owed,) = _in_way("reader.read_data@1=raise", "no_collectives", 2, "load")
    assert (owed.ending, owed.step, set(owed.failures), owed.agreement, owed.apart) == (Ending.FAILS, "read", {1}, True, False)


def test_a_call_that_fails_anyway_may_fail_in_another_way() -> None:
    """A load asks for what is not there and goes on: whether an injected error is taken for the same answer cannot be foretold."""
    calls = [Moment("reader.read_metadata", 1, False, fails=True), Moment("reader.read_metadata", 2, False), Moment("reader.read_metadata", 2, True)]
    trace = Trace({"load[1]": {0: tuple(calls)}})
    for text, kind, fires in (
        ("reader.read_metadata@0=raise", Ending.UNDETERMINED, True),
        ("reader.read_metadata@0=wrong", Ending.SUCCEEDS, False),
        ("reader.read_metadata@0=hang", Ending.STALLS, True),
        ("reader.read_metadata@0#2=raise", Ending.FAILS, True),
    ):
        (owed,) = forecast(FaultPlan.parse(text).bind(1), trace).expectations
        assert (owed.ending, bool(owed.must_fire)) == (kind, fires), text
        assert bool(owed.decisive) == (kind in (Ending.STALLS, Ending.FAILS))


# -- several operations, occurrences


@pytest.mark.parametrize(
    ("text", "failing"),
    [
        ("writer.write_data@1=raise", ["save[1]"]),
        ("writer.write_data@1#2=raise", ["save[2]"]),
        ("writer.write_data@1#1x2=raise", ["save[1]", "save[2]"]),
        ("writer.write_data@1#2x*=raise", ["save[2]", "save[3]"]),
        ("save[2]/writer.write_data@1=raise", ["save[2]"]),
        ("save/writer.write_data@1=raise", ["save[1]", "save[2]", "save[3]"]),
        ("writer.write_data@1#4=raise", []),
    ],
)
def test_occurrences_are_counted(text: str, failing: list[str]) -> None:
    """Over the case, or within the operation that a fault is addressed to."""
    found = _forecast(text, ("save[1]", "save[2]", "save[3]"))
    assert [owed.operation for owed in found.expectations if owed.ending is Ending.FAILS] == failing
    assert bool(found.unreachable) == (not failing)


def test_a_call_that_a_failure_prevents_is_not_counted() -> None:
    """The second save's write is the first that takes place, if the first save already failed at planning."""
    found = _forecast("writer.storage_meta@0=raise; writer.write_data@1#2=raise", ("save[1]", "save[2]", "save[3]"))
    assert [(owed.operation, set(owed.failures)) for owed in found.expectations] == [("save[1]", {0}), ("save[2]", set()), ("save[3]", {1})]


@pytest.mark.parametrize(
    ("text", "unreachable"),
    [
        ("writer.write_data@1#2=raise", {1}),
        ("writer.write_data@all#2=raise", {0, 1, 2}),
        ("save[2]/writer.write_data@1=raise", {1}),
        ("reader.read_data@0=raise", {0}),
        ("writer.write_data@1=raise", set()),
    ],
)
def test_what_strikes_no_call_is_said(text: str, unreachable: set[int]) -> None:
    """A fault that no run could fire, rank by rank."""
    assert {rank for _, rank in _forecast(text).unreachable} == unreachable


def _of_requests(text: str) -> Expectation:
    """A save in which rank 1 asks its store twice; the second answer is a refusal, as the rank expects."""
    asked = [Moment("http.put", 1, after=False, file="1.bin"), Moment("http.put", 1, after=True, file="1.bin"), Moment("http.head", 1, after=False, fails=True)]
    around = [Moment("writer.write_data", 1, after=False), *asked, Moment("writer.write_data", 1, after=True)]
    bound = FaultPlan.parse(text).bind(2, 0)
    (found,) = forecast(bound, Trace({"save[1]": {0: (), 1: tuple(around)}})).expectations
    return found


@pytest.mark.parametrize("effect", ["status(503)", "reset", "hang"])
@pytest.mark.parametrize("when", ["", "!after"])
def test_a_refused_request_is_some_error_or_none(effect: str, when: str) -> None:
    """The client decides what follows: all ranks report some error of that rank, or the client tries again and all succeed."""
    owed = _of_requests(f"http.put@1{when}={effect}")
    assert (owed.ending, owed.step, owed.failures, owed.maskable, owed.lasting) == (Ending.FAILS, "write", {1: SOME_ERROR}, True, False)
    assert owed.decisive[0].where == "writer.write_data"


def test_a_store_that_stays_so_may_be_met_again_in_a_later_step() -> None:
    """Then which step fails cannot be foretold."""
    assert _of_requests("http.put@1#1x*=status").lasting


@pytest.mark.parametrize("text", ["http.head@1=status(503)", "http.put@1=delay(0.1)", "http.put@1=throttle(1000)", "http.put@1=skip"])
def test_of_what_changes_an_answer_or_its_time_only_agreement_is_owed(text: str) -> None:
    """A no in other words, patience that may end, a lie."""
    owed = _of_requests(text)
    assert (owed.ending, owed.agreement) == (Ending.UNDETERMINED, True)


TWO = ("async_save[1]", "async_save[2]")


@pytest.mark.parametrize(
    ("fault", "other"),
    [
        ("writer.write_data@1=kill", Ending.UNDETERMINED),  # the rank is lost to both saves
        ("writer.write_data@1=stop", Ending.UNDETERMINED),
        ("writer.stage@1=hang", Ending.UNDETERMINED),  # the thread hangs that makes both calls
        ("stager.stage.future@1=hang", Ending.UNDETERMINED),  # on the caller's thread, if the staging is over by then
        ("stager.stage.future@1=nevercomplete", Ending.SUCCEEDS),
        ("writer.write_data@1=hang", Ending.SUCCEEDS),  # a thread of the first save hangs
        ("writer.write_data.future@1=nevercomplete", Ending.SUCCEEDS),
        ("writer.stage@1=raise", Ending.SUCCEEDS),
        ("writer.stage@1=delay(5)", Ending.SUCCEEDS),
        ("writer.stage@1=delay(3600)", Ending.UNDETERMINED),
        ("writer.write_data@1=delay(3600)", Ending.SUCCEEDS),
    ],
)
def test_a_save_is_judged_for_itself_unless_its_rank_is_lost(fault: str, other: Ending) -> None:
    """Of two saves at once, in either order: each upload has a thread of its own, and both share the caller's thread."""
    assert _forecast(f"async_save[1]/{fault}", TWO).expectations[1].ending is other
    assert _forecast(f"async_save[2]/{fault}", TWO).expectations[0].ending is other


def test_a_fault_that_a_lost_rank_may_not_reach_need_not_fire() -> None:
    """The death in one save may come first."""
    first, second = _forecast("async_save[1]/writer.reset@1=kill; async_save[2]/writer.finish@0=raise", TWO).expectations
    assert first.must_fire == {("async_save[1]/writer.reset@1=kill", 1)}
    assert (second.ending, second.must_fire, second.agreement) == (Ending.UNDETERMINED, frozenset(), False)


def test_a_save_names_the_faults_that_take_its_ranks_in_the_other() -> None:
    """With the storage call during which a rank dies, so that the register knows what the other save may leave."""
    course = [Moment(site, 1, False) for site in ("writer.write_data", "fs.write")]
    trace = Trace({save: dict.fromkeys((0, 1), tuple(course)) for save in TWO})
    first, second = forecast(FaultPlan.parse("async_save[1]/fs.write@1=kill?").bind(2), trace).expectations
    assert [(acting.rank, acting.where) for acting in second.elsewhere] == [(1, "writer.write_data")]
    assert (first.elsewhere, second.decisive) == ((), ())


def test_a_call_that_returns_late_prolongs_the_other_save() -> None:
    """By as much."""
    first, second = _forecast("async_save[1]/writer.stage@1=delay(5)", TWO).expectations
    assert (first.delayed, second.delayed) == (5, 5)


@pytest.mark.parametrize(("ranks", "ending"), [("all", Ending.UNDETERMINED), ("1", Ending.UNDETERMINED)])
def test_a_save_that_goes_on_after_the_timeout_of_the_other_may_find_its_connections_closed(ranks: str, ending: Ending) -> None:
    """Though its own ranks are late alike: the other save has a rank that waits for a late rank."""
    first, second = _forecast(f"async_save[1]/stager.stage.future@{ranks}=delay(3600)", TWO).expectations
    assert (first.ending, first.agreement, second.ending) == (ending, False, Ending.UNDETERMINED)


def test_a_save_that_has_ended_by_the_timeout_of_the_other_is_judged() -> None:
    """Its connections were whole as long as it needed them."""
    first, second = _forecast("async_save[1]/writer.write_data@1=raise; async_save[2]/writer.write_data@1=delay(3600)", TWO).expectations
    assert (first.ending, second.ending) == (Ending.FAILS, Ending.STALLS)


@pytest.mark.parametrize(("struck", "endings"), [(1, [Ending.FAILS, Ending.SUCCEEDS]), (2, [Ending.SUCCEEDS, Ending.FAILS])])
def test_a_fault_without_an_operation_is_owed_by_the_save_that_it_struck(struck: int, endings: list[Ending]) -> None:
    """Of two saves at once, only the history shows which save made the call that the fault counted."""
    fault = "writer.write_data@1=raise"
    found = _forecast(fault, TWO, firings=Firings({(fault, 1): {(f"async_save[{struck}]", 1)}})).expectations
    assert [owed.ending for owed in found] == endings
    assert [bool(owed.must_fire) for owed in found] == [ending is Ending.FAILS for ending in endings]


def test_a_fault_that_fired_nowhere_strikes_no_save_and_is_missed() -> None:
    """The count says that the call was made, but not by which save."""
    fault = "writer.write_data@all=raise"
    first, second = _forecast(fault, TWO, firings=Firings({(fault, 0): {("async_save[2]", 1)}})).expectations
    assert (first.ending, second.ending) == (Ending.SUCCEEDS, Ending.FAILS)
    assert second.must_fire == {(fault, 0), (fault, 1), (fault, 2)}


def test_a_fault_behind_a_death_in_either_save_is_not_missed() -> None:
    """The death may have come ahead of the call that the fault counts."""
    late, death = "writer.set_up_storage_writer@0#2=raise", "fs.exists@0#2=kill?"
    found = _forecast(f"{late}; {death}; async_save[2]/writer.reset@1=kill", TWO, firings=Firings({})).expectations
    assert {owed.ending for owed in found} == {Ending.UNDETERMINED, Ending.STALLS}
    assert not any(late in text for owed in found for text, _ in owed.must_fire)


def test_a_save_answers_only_for_the_faults_that_may_strike_it() -> None:
    """A hang that is addressed to the other save, or struck the other save, leaves no doubt about who learns of an error here."""
    error, hang = "async_save[1]/writer.reset@0=raise", "writer.write_data@1=hang"
    struck = Firings({(hang, 1): {("async_save[2]", 1)}})
    assert _forecast(f"{error}; async_save[2]/{hang}", TWO).expectations[0].ending is Ending.FAILS
    assert _forecast(f"{error}; {hang}", TWO, firings=struck).expectations[0].ending is Ending.FAILS
    assert _forecast(f"{error}; {hang}", TWO).expectations[0].ending is Ending.UNDETERMINED


def test_a_rank_that_died_in_one_of_two_saves_is_lost_to_the_other_only() -> None:
    """Its own save stalls; the other save is open, whichever comes first in the order of the names."""
    fault = "writer.write_data@1=kill"
    first, second = _forecast(fault, TWO, firings=Firings({(fault, 1): {("async_save[2]", 1)}})).expectations
    assert (first.ending, second.ending) == (Ending.UNDETERMINED, Ending.STALLS)
