"""Strategies draw plans that can be run, and shrink them to plans that a human would write."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st

from ckpt_harness import strategies
from ckpt_harness.errors import OracleViolation, PlanError, UsageError
from ckpt_harness.faults import error_specs
from ckpt_harness.faults.bound_plan import BoundPlan
from ckpt_harness.faults.effects import Delay, DiskError, Effect, FailFuture, Hang, Raise, Skip, WrongResult
from ckpt_harness.faults.fault import Fault
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.sites import OPERATION_KINDS, SITES, OperationKind
from ckpt_harness.strategies import (
    bound_plans,
    coordinators,
    effects_at,
    fault_plans,
    faults,
    load_profile,
    profiles,
    storage_sites,
    world_sizes,
)

T = TypeVar("T")
PLANS = fault_plans(ranks=4)
SEARCH = settings(max_examples=3_000, derandomize=True, database=None, phases=[Phase.generate, Phase.shrink])


def minimal(strategy: st.SearchStrategy[T], condition: Callable[[T], Any]) -> T:
    """The simplest value that hypothesis reports for a failing ``condition``."""
    return find(strategy, condition, settings=SEARCH)


def _struck(plan: FaultPlan) -> set[int]:
    return {rank for fault in plan.bind(4).faults for rank in fault.ranks}


def _any(claim: Callable[[Fault], Any]) -> Callable[[FaultPlan], bool]:
    return lambda plan: any(claim(fault) for fault in plan)


SHRUNK: list[tuple[str, st.SearchStrategy[FaultPlan], Callable[[FaultPlan], Any]]] = [
    ("", PLANS, lambda plan: True),
    ("writer.write_data@0=raise", PLANS, len),
    ("writer.write_data@0=raise; writer.finish@coordinator=raise", PLANS, lambda plan: len({fault.site for fault in plan}) >= 2),
    ("writer.write_data@2=raise", PLANS, lambda plan: 2 in _struck(plan)),
    ("writer.write_data@1,3=raise", PLANS, _any(lambda fault: {1, 3} <= {*fault.ranks})),
    ("writer.write_data@0,1,2=raise", PLANS, lambda plan: len(_struck(plan)) >= 3),
    ("writer.write_data@all=raise", PLANS, _any(lambda fault: fault.ranks == "all")),
    ("writer.finish@coordinator=raise", PLANS, _any(lambda fault: fault.at.callers == "coordinator")),
    ("writer.write_data@0=raise(unpicklable)", PLANS, _any(lambda fault: fault.effect == Raise("unpicklable"))),
    ("writer.write_data@0=hang", PLANS, _any(lambda fault: isinstance(fault.effect, Hang))),
    ("writer.write_data@0!after=raise", PLANS, _any(lambda fault: fault.after)),
    ("writer.write_data.future@0=failfuture", PLANS, _any(lambda fault: fault.at.is_future)),
    ("writer.prepare_global_plan@coordinator=wrong(short)", PLANS, _any(lambda fault: fault.effect == WrongResult("short"))),
    (
        "save[2]/writer.write_data@0=raise",
        fault_plans(ranks=2, operations=3),
        _any(lambda fault: fault.operation is not None and fault.operation.index == 2),
    ),
    ("reader.read_metadata@0#2=raise?", fault_plans(ranks=2, op="load"), _any(lambda fault: fault.nth > 1)),
]


@pytest.mark.parametrize(("text", "plans", "condition"), SHRUNK, ids=[text or "the empty plan" for text, _, _ in SHRUNK])
def test_a_plan_shrinks_to_what_a_human_would_write(
    text: str, plans: st.SearchStrategy[FaultPlan], condition: Callable[[FaultPlan], Any]
) -> None:
    """Shrinking prefers fewer faults, fewer and lower ranks, the first occurrence and a plain error."""
    found = minimal(plans, condition)
    if "wrong(short)" in text:  # the future of write_data can be short, too; which of both is a matter of taste
        assert str(found) in (text, "writer.write_data.future@0=wrong(short)")
    else:
        assert str(found) == text


def test_a_world_shrinks_with_its_plan() -> None:
    """The number of ranks shrinks to the smallest that fails, and the coordinator to rank 0."""
    assert repr(minimal(bound_plans(), lambda bound: any(bound.coordinator not in fault.ranks for fault in bound.faults))) == (
        "FaultPlan.parse('writer.write_data@1=raise').bind(2, 0)"
    )
    assert repr(minimal(bound_plans(), lambda bound: bound.coordinator and bound.faults)) == (
        "FaultPlan.parse('writer.write_data@0=raise').bind(2, 1)"
    )


@pytest.mark.parametrize("op", OPERATION_KINDS)
def test_every_plan_can_be_bound(op: OperationKind) -> None:
    """Every drawn plan fits its world, and uses only the sites and effects that were asked for."""
    drawn: list[BoundPlan] = []

    @settings(SEARCH, max_examples=150, phases=[Phase.generate])
    @given(bound_plans(op=op, max_faults=2))
    def draw(bound: BoundPlan) -> None:
        drawn.append(bound)
        assert bound.plan.bind(bound.world_size, bound.coordinator) == bound
        assert len(bound.plan) <= 2
        assert all(op in fault.at.operations for fault in bound.plan)

    draw()
    assert {len(bound.plan) for bound in drawn} == {0, 1, 2}
    assert {fault.site for bound in drawn for fault in bound.plan} == {*storage_sites(op)}
    assert {bound.world_size for bound in drawn} == {1, 2, 3, 4, 5}
    assert any(bound.coordinator for bound in drawn)


@given(st.data())
def test_every_legal_effect_is_drawn_and_no_other(data: st.DataObject) -> None:
    """For each site, all legal effects are drawn and no others."""
    site = data.draw(st.sampled_from(list(SITES.values())))
    effect = data.draw(effects_at(site.name))
    assert effect.legal_at(site)
    Fault(site.name, "coordinator", effect)


@pytest.mark.parametrize(
    ("site", "effect"), [("writer.write_data", Raise()), ("writer.write_data.future", FailFuture()), ("pg.gather", Raise()), ("fs.write", DiskError())]
)
def test_the_simplest_effect_is_a_plain_error(site: str, effect: Effect) -> None:
    """The simplest effect is a plain error, a plainly failed future, or the first effect that the caller lists."""
    assert minimal(effects_at(site), lambda _: True) == effect
    assert minimal(effects_at(site, [Delay, Hang]), lambda _: True) == Delay()


@pytest.mark.parametrize("name", ["OSError:EIO", "SystemExit", *error_specs.ZOO])
def test_the_whole_zoo_is_drawn(name: str) -> None:
    """Every special error is drawn, and builtin errors too; the simplest error is a builtin."""
    assert minimal(strategies.errors(), lambda error: error == name) == name
    assert minimal(strategies.errors(), lambda _: True) == "InjectedFault"


def test_a_caller_may_choose_sites_effects_and_errors() -> None:
    """The first choice of each is the simplest."""
    one = faults(ranks=3, coordinator=2, sites=["writer.finish", "writer.reset"], effects=[Hang, Raise], errors=["ValueError"])
    assert str(minimal(one, lambda _: True)) == "writer.finish@coordinator=hang"
    assert str(minimal(one, lambda fault: fault.effect != Hang() and fault.site != "writer.finish")) == "writer.reset@0=raise(ValueError)"


def test_worlds_shrink_to_one_rank() -> None:
    """World sizes shrink to 1, and coordinators to rank 0."""
    assert (minimal(world_sizes(), lambda _: True), minimal(world_sizes(3), lambda size: size > 1)) == (1, 2)
    assert (minimal(coordinators(4), lambda _: True), minimal(coordinators(4), lambda rank: rank == 3)) == (0, 3)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda: storage_sites("dump"), UsageError, "unknown operation 'dump'; valid: save"),
        (lambda: fault_plans(ranks=2, sites=["reader.reset"]), UsageError, "not called in 'save'; valid: load"),
        (lambda: fault_plans(ranks=2, sites=["writer.finnish"]), PlanError, "nearest: writer.finish"),
        (lambda: fault_plans(ranks=2, sites=["fs.rite"]), PlanError, "nearest: fs.write"),
        (lambda: fault_plans(ranks=2, coordinator=2), UsageError, "coordinator 2 is outside a world of 2; valid: 0 to 1"),
        (lambda: fault_plans(ranks=2, sites=["writer.write_data.future"], effects=[Raise]), UsageError, "valid: .*FailFuture"),
        (lambda: effects_at("writer.storage_meta", [Skip]), UsageError, "none of the effects is legal at writer.storage_meta; valid: Raise, "),
        (lambda: load_profile("slow"), UsageError, "unknown profile 'slow'; valid: quick, ci, soak"),
    ],
)
def test_an_impossible_strategy_is_refused_at_once(call: Callable[[], object], kind: type[Exception], words: str) -> None:
    """The call that makes the strategy refuses the value, with the value and the choices; not the first draw."""
    with pytest.raises(kind, match=words):
        call()


def test_a_violation_under_given_shrinks_and_reports() -> None:
    """The report contains the smallest plan as text that can be pasted."""

    @settings(SEARCH)
    @given(plan=PLANS)
    def claim(plan: FaultPlan) -> None:
        if any(fault.site == "writer.finish" and fault.after for fault in plan):
            raise OracleViolation("a commit without its acknowledgement")

    with pytest.raises(OracleViolation) as caught:
        claim()
    assert "plan=FaultPlan.parse('writer.finish@coordinator!after=raise')" in "\n".join(caught.value.__notes__)


@pytest.fixture
def profile_afterwards() -> Any:
    """The profile that the other tests run under."""
    yield
    load_profile()


@pytest.mark.usefixtures("profile_afterwards")
def test_profiles_are_chosen_by_name_or_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name wins over the environment; ``quick`` is deterministic, and no profile judges by a clock."""
    monkeypatch.delenv(strategies.PROFILE_VARIABLE, raising=False)
    assert load_profile() == "quick"
    assert settings.default.derandomize
    examples = [settings.default.max_examples]
    monkeypatch.setenv(strategies.PROFILE_VARIABLE, "ci")
    assert load_profile() == "ci"
    examples.append(settings.default.max_examples)
    assert load_profile("soak") == "soak"
    examples.append(settings.default.max_examples)
    assert examples == sorted(examples)
    assert all(profile.deadline is None for profile in profiles._settings().values())
    assert all(HealthCheck.too_slow in profile.suppress_health_check for profile in profiles._settings().values())


@pytest.mark.usefixtures("profile_afterwards")
def test_profiles_of_another_suite_are_not_changed() -> None:
    """The harness's profiles have names of their own."""
    before = settings.get_profile("default")
    settings.register_profile("ci", before)
    load_profile("ci")
    assert settings.get_profile("ci") is before


def test_the_same_search_finds_the_same_plans() -> None:
    """The default profile draws the same examples every time."""

    def search() -> list[str]:
        drawn: list[str] = []

        @settings(SEARCH, max_examples=20, phases=[Phase.generate])
        @given(PLANS)
        def draw(plan: FaultPlan) -> None:
            drawn.append(str(plan))

        draw()
        return drawn

    assert search() == search()
