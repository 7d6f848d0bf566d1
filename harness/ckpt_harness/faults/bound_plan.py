"""Plans that were checked against a world: each fault with the numbers of the ranks that it strikes."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING

from ckpt_harness.errors import PlanError, choices
from ckpt_harness.faults import error_specs
from ckpt_harness.faults.collisions import find_collision
from ckpt_harness.faults.effects import FailFuture, Raise
from ckpt_harness.faults.fault import Fault
from ckpt_harness.faults.protocol import Group, Protocol
from ckpt_harness.faults.sites import OperationKind

if TYPE_CHECKING:
    from ckpt_harness.faults.plan import FaultPlan


@dataclass(frozen=True)
class BoundFault:
    """A fault with the ranks of a particular world that it strikes."""

    fault: Fault
    ranks: frozenset[int]


@dataclass(frozen=True)
class BoundPlan:
    """A plan that was checked against a world, by :meth:`ckpt_harness.faults.plan.FaultPlan.bind`.

    Attributes:
        plan: the plan.
        faults: its faults with their ranks.
        world_size: number of ranks.
        coordinator: the rank that coordinates, within its group.
        protocol: the engine's protocol.
        groups: the ranks that do an operation together.
    """

    plan: FaultPlan
    faults: tuple[BoundFault, ...]
    world_size: int
    coordinator: int
    protocol: Protocol
    groups: tuple[Group, ...]

    def __repr__(self) -> str:
        return f"{self.plan!r}.bind({self.world_size}, {self.coordinator})"

    @functools.cached_property
    def _by_site(self) -> Mapping[str, Sequence[BoundFault]]:
        """Site -> the faults there. The model looks up faults at every call, and a plan may have thousands."""
        by_site: dict[str, list[BoundFault]] = {}
        for struck in self.faults:
            by_site.setdefault(struck.fault.site, []).append(struck)
        return by_site

    def at(self, site: str, rank: int) -> Iterator[BoundFault]:
        """The faults that strike calls of a site on a rank, in the order of the plan.

        Args:
            site: full name of the site.
            rank: the rank that calls.
        """
        return (struck for struck in self._by_site.get(site, ()) if rank in struck.ranks)

    def patterns(self, site: str, file: str) -> tuple[str, ...]:
        """The file patterns that match a call and by which faults count; "" matches all files.

        Args:
            site: full name of the site.
            file: name of the file that the call is about, without directories.
        """
        if site not in self._by_site:
            return ("",)
        globs = {struck.fault.glob for struck in self._by_site[site] if struck.fault.glob is not None}
        return ("", *sorted(glob for glob in globs if fnmatchcase(file, glob)))

    def sites(self, kind: OperationKind | None = None) -> frozenset[str]:
        """The sites that the plan strikes, in one kind of operation or in all."""
        return frozenset(struck.fault.site for struck in self.faults if kind is None or kind in struck.fault.at.operations)


def bound_faults(faults: Sequence[Fault], world_size: int, groups: tuple[Group, ...], protocol: Protocol) -> tuple[BoundFault, ...]:
    """Finds the ranks that each fault of a plan strikes.

    Args:
        faults: the faults of a plan.
        world_size: number of ranks.
        groups: the ranks that do an operation together.
        protocol: the protocol of the engine under test.

    Raises:
        PlanError: a fault that is impossible in this world, two faults on the same call, or an error type that cannot be imported.
    """
    words = _meanings(groups)
    bound = tuple(BoundFault(fault, _struck_ranks(fault, words, world_size, protocol)) for fault in faults)
    # A word is cheaper to compare than the number of every rank.
    collision = find_collision(faults, ["all" if struck.fault.ranks == "all" else struck.ranks for struck in bound])
    if collision is not None:
        first, second = bound[collision.first], bound[collision.second]
        rank = min(first.ranks & second.ranks)
        raise PlanError(f"two faults may strike the same call of rank {rank}: {first.fault.label} and {second.fault.label}")
    for fault in faults:
        if isinstance(fault.effect, (Raise, FailFuture)):
            error_specs.check(fault.effect.error, load=True)
    return bound


def _meanings(groups: tuple[Group, ...]) -> dict[str, frozenset[int]]:
    """Each word for ranks, and the ranks that it means."""
    everyone = frozenset(rank for group in groups for rank in group.ranks)
    coordinators = frozenset(group.coordinator for group in groups)
    return {"all": everyone, "coordinator": coordinators, "others": everyone - coordinators}


def _struck_ranks(fault: Fault, words: Mapping[str, frozenset[int]], world_size: int, protocol: Protocol) -> frozenset[int]:
    """The ranks of a world that a fault strikes."""
    if isinstance(fault.ranks, tuple):
        ranks = frozenset(fault.ranks)
        _check_ranks(fault, ranks, words["all"], world_size)
    else:
        ranks = words[fault.ranks]
    if not ranks:
        raise PlanError(f"{fault.label} strikes no rank: all ranks of a world of {world_size} coordinate; valid: coordinator, all")
    coordinators = words["coordinator"]
    if fault.at.callers == "coordinator" and protocol.collectives and not ranks <= coordinators:
        others = ", ".join(map(str, sorted(ranks - coordinators)[:3]))
        raise PlanError(f"{fault.label}: only a coordinator calls {fault.site}, and rank {others} does not coordinate; {_choices(coordinators)}")
    return ranks


def _check_ranks(fault: Fault, ranks: frozenset[int], everyone: frozenset[int], world_size: int) -> None:
    """Refuses ranks outside the world, or of no group."""
    if max(ranks) >= world_size:
        raise PlanError(f"{fault.label}: rank {max(ranks)} is outside a world of {world_size}; valid: 0 to {world_size - 1}")
    if not ranks <= everyone:
        raise PlanError(f"{fault.label}: rank {min(ranks - everyone)} takes no part in the operation; {_choices(everyone)}")


def _choices(ranks: frozenset[int]) -> str:
    return choices(map(str, sorted(ranks)))
