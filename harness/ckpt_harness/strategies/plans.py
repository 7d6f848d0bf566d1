"""Draws faults and plans."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import strategies as st

from ckpt_harness.faults.bound_plan import BoundPlan
from ckpt_harness.faults.calling import find_call_style
from ckpt_harness.faults.effects import Effect
from ckpt_harness.faults.fault import Fault
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.protocol import DCP
from ckpt_harness.faults.sites import OperationKind
from ckpt_harness.strategies.effects import ERRORS
from ckpt_harness.strategies.menu import Cast, Menu, Numbers
from ckpt_harness.strategies.sites import coordinators


def faults(
    *,
    ranks: int,
    op: OperationKind = "save",
    coordinator: int = 0,
    operations: int = 1,
    effects: Sequence[type[Effect]] | None = None,
    errors: Sequence[str] = ERRORS,
    sites: Sequence[str] | None = None,
    way: str = "together",
) -> st.SearchStrategy[Fault]:
    """Draws single faults that are legal and possible in a world. Arguments and errors are those of :func:`fault_plans`."""
    menu, cast = Menu.of(op, operations, effects, errors, sites), Cast.of(way, op, ranks, coordinator)
    return menu.numbers(ranks).map(lambda drawn: menu.fault(drawn, cast))


def fault_plans(
    *,
    ranks: int,
    op: OperationKind = "save",
    max_faults: int = 3,
    coordinator: int = 0,
    operations: int = 1,
    effects: Sequence[type[Effect]] | None = None,
    errors: Sequence[str] = ERRORS,
    sites: Sequence[str] | None = None,
    way: str = "together",
) -> st.SearchStrategy[FaultPlan]:
    """Draws plans that ``plan.bind(ranks, coordinator)`` accepts, or that bind in another call style; the simplest is the empty plan.

    Args:
        ranks: size of the world.
        op: the operation to strike: ``save``, ``async_save`` or ``load``.
        max_faults: the largest number of faults in a plan.
        coordinator: the rank that coordinates.
        operations: how many operations of the kind a case runs. With more than one, later operations are struck too.
        effects: the effects to draw from, simplest first. Default: all that need no real processes.
        errors: the errors to draw from, simplest first.
        sites: full names of the sites to strike, simplest first. Default: :func:`ckpt_harness.strategies.storage_sites`.
        way: name of the call style (:data:`ckpt_harness.faults.calling.CALL_STYLES`): how ranks are grouped for the call.

    Raises:
        PlanError: a site that does not exist, or a coordinator outside the world or a group.
        UsageError: a site that ``op`` never calls, effects that are legal nowhere, or a call style that does not work in this world.

    Example:
        >>> from hypothesis import given
        >>> @given(plan=fault_plans(ranks=4, op="save", max_faults=1))
        ... def test_at_most_one_fault(plan: FaultPlan) -> None:
        ...     assert len(plan) <= 1
        >>> test_at_most_one_fault()
    """
    menu, cast = Menu.of(op, operations, effects, errors, sites), Cast.of(way, op, ranks, coordinator)
    return _several(menu, max_faults, ranks).map(lambda drawn: _plan(menu, drawn, cast))


@st.composite
def _several(draw: st.DrawFn, menu: Menu, max_faults: int, width: int) -> list[Numbers]:
    numbers = menu.numbers(width)
    count = draw(st.integers(0, max_faults))  # drawn first, since hypothesis does not delete single items of this length from a list
    return [draw(numbers) for _ in range(count)]


def _plan(menu: Menu, drawn: list[Numbers], cast: Cast) -> FaultPlan:
    """The faults that were drawn, without those that may strike the same call as an earlier fault: drawn independently, they shrink independently."""
    kept: list[tuple[Fault, frozenset[int]]] = []
    for numbers in drawn:
        fault = menu.fault(numbers, cast)
        protocol = replace(DCP, collectives=not cast.alike)
        struck = FaultPlan((fault,)).bind(cast.size, 0, protocol, cast.groups).faults[0].ranks
        if not any(struck & ranks and fault.overlaps(earlier) for earlier, ranks in kept):
            kept.append((fault, struck))
    return FaultPlan(tuple(fault for fault, _ in kept))


@st.composite
def _bound(draw: st.DrawFn, menu: Menu, max_ranks: int, max_faults: int, way: str) -> BoundPlan:
    style = find_call_style(way)
    ranks = draw(st.integers(style.least, max_ranks if style.most is None else min(style.most, max_ranks)))
    smallest = min(len(group.ranks) for group in style.groups(ranks, 0))
    coordinator = draw(coordinators(smallest if style.use_collectives else 1))
    cast = Cast.of(way, menu.op, ranks, coordinator)
    plan = _plan(menu, draw(_several(menu, max_faults, max_ranks)), cast)
    return plan.bind(ranks, coordinator, style.protocol(DCP, menu.op), cast.groups)


def bound_plans(
    *,
    max_ranks: int = 5,
    op: OperationKind = "save",
    max_faults: int = 3,
    effects: Sequence[type[Effect]] | None = None,
    errors: Sequence[str] = ERRORS,
    sites: Sequence[str] | None = None,
    way: str = "together",
) -> st.SearchStrategy[BoundPlan]:
    """Draws plans together with a world: its size and its coordinator. They shrink to small worlds with coordinator 0.

    Args:
        max_ranks: size of the largest world.
        op: the operation to strike: ``save``, ``async_save`` or ``load``.
        max_faults: the largest number of faults in a plan.
        effects: the effects to draw from, simplest first. Default: all that need no real processes.
        errors: the errors to draw from, simplest first.
        sites: full names of the sites to strike, simplest first. Default: :func:`ckpt_harness.strategies.storage_sites`.
        way: name of the call style (:data:`ckpt_harness.faults.calling.CALL_STYLES`).

    Raises:
        PlanError: a site that does not exist.
        UsageError: a site that ``op`` never calls, effects that are legal nowhere, or an unknown call style.
    """
    return _bound(Menu.of(op, 1, effects, errors, sites), max_ranks, max_faults, way)
