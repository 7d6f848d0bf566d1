"""The faults that a sweep tries at a cell: a plain error first, then everything else that its site and world allow."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

from ckpt_harness.campaigns.fault_space import Cell
from ckpt_harness.cases.case import Case, WorldName
from ckpt_harness.faults import error_specs as zoo
from ckpt_harness.faults.effects import (
    BitFlip,
    CutBody,
    Delay,
    DiskError,
    Effect,
    Exit,
    FailFuture,
    Hang,
    Kill,
    Misdirect,
    NeverComplete,
    NoSpace,
    Raise,
    Reset,
    ShortWrite,
    Skip,
    StaleRead,
    Status,
    Stop,
    Throttle,
    TornWrite,
    Truncate,
    WrongResult,
    ZeroFill,
)
from ckpt_harness.faults.fault import Fault, OperationRef
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.sites import SITES, Site

_OF_NAMES = ("fs.mkdir", "fs.create_stream", "fs.rename")
"""Sites of disks that look up a name and may not find it. Code on the way may mistake that for something harmless."""


def fault_at(ground: Case, cell: Cell, effect: Effect, *, times: int | None = 1, after: bool = False) -> Fault:
    """The fault that strikes a cell.

    Args:
        ground: the fault-free case that reaches the cell.
        cell: where the fault strikes.
        effect: what goes wrong.
        times: how many successive calls; None for all of them from then on.
        after: whether the call acts first, and then the fault strikes.
    """
    # Calls of two operations at once come in any order, so the fault says which operation it strikes.
    operation = None if ground.overlap == "none" else OperationRef(ground.operation, 1)
    # There may be no other file to which bytes could go, nobody reads what a save opens to write, what is still to be written may fit, and a rank may hold
    # no part of a sharded tensor.
    optional = isinstance(effect, (Misdirect, StaleRead, NoSpace)) or effect.about_parts
    return Fault(cell.site, (cell.rank,), effect, nth=cell.nth, times=times, after=after, operation=operation, optional=optional)


def plain_error(site: Site, error: str = "InjectedFault") -> Effect:
    """The plain error of a site.

    Args:
        site: where it is raised.
        error: the error, where the site raises whatever is asked for.
    """
    if site.side == "fs":
        return DiskError()  # what disks raise
    if site.layer == "network":
        return Status()
    return FailFuture("wait", error) if site.is_future else Raise(error)


def lasting_error(site: Site) -> Effect:
    """The error of a site that does not go away: on disks another one than the plain error, so that an engine that reports every error as the same is found."""
    return DiskError("ESTALE") if site.side == "fs" else plain_error(site)


def other_effects(site: Site, world: WorldName) -> Iterator[tuple[Effect, bool]]:
    """Everything but the plain error that a site and a world allow.

    Args:
        site: where the effect strikes.
        world: what runs the ranks.

    Yields:
        The effect, and whether it strikes after the call.
    """
    if site.side == "fs":
        yield from _of_disks(site)
    elif site.layer == "network":
        yield from _of_networks()
    else:
        yield from _of_calls(site)
    for effect in _of_all_sites(site, world):
        if effect.legal_at(site):
            yield effect, False


def mistakable(cells: Sequence[Cell], *, everywhere: bool) -> Iterator[tuple[Cell, Effect]]:
    """The errors that code on the way may mistake for something else, at the calls of an engine. Collectives are left out: they raise errors of their own.

    Args:
        cells: the fault space.
        everywhere: whether to try each error at every cell. Otherwise, each site has each error once, and the errors are spread over the cells of the site.
    """
    of_sites: dict[str, list[Cell]] = {}
    for cell in cells:
        if SITES[cell.site].layer == "calls" and SITES[cell.site].side != "pg":
            of_sites.setdefault(cell.site, []).append(cell)
    for site, calls in of_sites.items():
        for number, error in enumerate(zoo.MISTAKABLE):
            effect = plain_error(SITES[site], error)
            for cell in calls if everywhere else [calls[number * len(calls) // len(zoo.MISTAKABLE)]]:
                yield cell, effect


def _of_disks(site: Site) -> Iterator[tuple[Effect, bool]]:
    yield DiskError("ENOSPC"), False
    if site.name in _OF_NAMES:
        yield DiskError("ENOENT"), False
    yield DiskError(), True


def _of_networks() -> Iterator[tuple[Effect, bool]]:
    yield Status(), True
    yield Reset(), False
    yield Reset(), True


def _of_calls(site: Site) -> Iterator[tuple[Effect, bool]]:
    for error in zoo.SWEPT:
        yield plain_error(site, error), False
    if not site.is_future:
        yield Raise(), True


def _of_all_sites(site: Site, world: WorldName) -> Iterator[Effect]:
    """Effects in the order in which they are tried, legal or not."""
    yield from (NoSpace(100), ShortWrite(), TornWrite(10), BitFlip(100), ZeroFill(), Truncate(100), Misdirect(), StaleRead())
    yield from (CutBody(10), Throttle(100_000))
    # Simulated seconds cost nothing; real seconds are spent.
    late = 5.0 if world == "simulated" and site.layer != "network" else 0.3
    yield from (Delay(late), Hang(), Kill(), Skip(), NeverComplete())
    if world == "processes":
        yield from (Stop(), Exit())
    if site.name == "writer.write_data.future":
        yield FailFuture("value")
    if WrongResult.legal_at(site):
        yield from (WrongResult(kind) for kind in WrongResult.kinds_at(site))


def pairs(ground: Case, cells: Sequence[Cell]) -> Iterator[FaultPlan]:
    """All pairs of plain errors at different cells; collectives are left out.

    Args:
        ground: the fault-free case that reaches the cells.
        cells: the fault space.
    """
    guarded = [cell for cell in cells if SITES[cell.site].side != "pg"]
    for first, second in itertools.combinations(guarded, 2):
        plain, other = plain_error(SITES[first.site]), plain_error(SITES[second.site], "ValueError")
        yield FaultPlan((fault_at(ground, first, plain), fault_at(ground, second, other)))
