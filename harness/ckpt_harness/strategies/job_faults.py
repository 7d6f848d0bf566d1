"""How the fault that strikes a call of a job is drawn: its class, its site, its ranks, its occurrence and its effect."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ckpt_harness.faults.effects import Misdirect, StaleRead, WrongResult
from ckpt_harness.faults.fault import Fault, OperationRef
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.protocol import DCP
from ckpt_harness.faults.sites import OperationKind, Site
from ckpt_harness.jobs.fault_classes import LOST
from ckpt_harness.strategies.effects import VARIANTS, effect_of
from ckpt_harness.strategies.job_menu import JobMenu
from ckpt_harness.strategies.job_source import Source, pick, seldom
from ckpt_harness.strategies.menu import ITEMS, Cast, rank_set, ranks_at
from ckpt_harness.strategies.sites import storage_sites


@dataclass(frozen=True)
class Call:
    """An engine call of a job, as far as faults have to know it.

    Attributes:
        kind: the kind of operation.
        number: which operation of its kind in the job, from 1.
        step: how coverage counts the operation.
        engine: name of the engine.
        way: the call style.
        ranks: number of ranks in the world.
        coordinator: the rank, within its group, that coordinates.
        staging: what copies the state of an async save; "" for others.
    """

    kind: OperationKind
    number: int
    step: str
    engine: str
    way: str
    ranks: int
    coordinator: int = 0
    staging: str = ""


@dataclass(frozen=True)
class Struck:
    """A fault, and the ranks that it strikes.

    Attributes:
        fault: the fault.
        ranks: ranks of the world.
    """

    fault: Fault
    ranks: frozenset[int]


def draw_fault(source: Source, menu: JobMenu, call: Call, before: Sequence[Struck] = ()) -> tuple[str, Struck] | None:
    """Draws a fault that strikes a call.

    Args:
        source: draws numbers, and chooses the class that is tried next.
        menu: what jobs are made of.
        call: what is struck.
        before: faults that strike the same call.

    Returns:
        The class of the fault, and the fault; None if no fault can strike there beside the others.
    """
    sites = menu.sites_of(call.kind, call.engine, call.way, call.staging)
    classes = [name for name in menu.classes if any(menu.effects_at(site, name) for site in sites)]
    if not classes:
        return None
    name = classes[source.steered([(call.step, each) for each in classes])]
    site = pick(source, [site for site in sites if menu.effects_at(site, name)])
    fault, cast = _fault(source, menu, call, name, site)
    protocol = replace(DCP, collectives=not cast.alike)
    ranks = FaultPlan((fault,)).bind(cast.size, 0, protocol, cast.groups).faults[0].ranks
    if any(ranks & other.ranks and fault.overlaps(other.fault) for other in before):
        return None
    return name, Struck(fault, ranks)


def _fault(source: Source, menu: JobMenu, call: Call, name: str, site: Site) -> tuple[Fault, Cast]:
    cast = Cast.of(call.way, call.kind, call.ranks, call.coordinator)
    kinds = menu.effects_at(site, name)
    in_real_time = menu.world != "simulated"
    effect = effect_of(site, seldom(source, kinds), seldom(source, menu.errors), source.number(VARIANTS - 1), in_real_time=in_real_time)
    ranks = ranks_at(site, _ranks(source, cast), source.number(1) == 1, cast)
    nth = 1 + source.number(ITEMS - 1) if site.several else 1
    for_ever = source.number(3) == 3
    may_miss = site.several or site.name not in storage_sites(call.kind) or isinstance(effect, (Misdirect, StaleRead))
    about_parts = isinstance(effect, WrongResult) and effect.about_parts
    fault = Fault(
        site=site.name,
        ranks=ranks,
        effect=effect,
        nth=nth,
        times=None if for_ever else 1,
        after=name == LOST or (effect.can_be_after and not site.is_future and name in ("delay", "stall", "death") and source.number(2) == 2),
        operation=OperationRef(call.kind, call.number),
        optional=may_miss or about_parts,
    )
    return fault, cast


def _ranks(source: Source, cast: Cast) -> tuple[int, ...]:
    """One rank three times out of four; else any set of ranks."""
    one = cast.ranks[source.number(len(cast.ranks) - 1)]
    if source.number(3) < 3:
        return (one,)
    return rank_set([source.number(1) == 1 for _ in cast.ranks[:16]], cast)
