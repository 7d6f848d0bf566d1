"""How a fault is made from a fixed count of small numbers, so that hypothesis shrinks it to what a human would write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import strategies as st

from ckpt_harness.errors import UsageError, choices
from ckpt_harness.faults.calling import find_call_style
from ckpt_harness.faults.effects import Effect
from ckpt_harness.faults.fault import Fault, OperationRef, Ranks
from ckpt_harness.faults.protocol import DCP, Group
from ckpt_harness.faults.sites import OperationKind, Site, find_site
from ckpt_harness.strategies.effects import VARIANTS, effect_of, index_of, legal_effects
from ckpt_harness.strategies.sites import storage_sites

_WIDE = 16
"""Ranks of a world that are distinguished; see :func:`rank_set`."""

ITEMS = 3
"""Calls of a per-item site that are tried: a workload holds a handful of items on a rank."""

Numbers = tuple[int, list[bool], bool, int, int, bool, bool, int, int, int]
"""What a fault is made from."""


@dataclass(frozen=True)
class Cast:
    """The ranks of a world by their roles.

    Attributes:
        ranks: the ranks that take part, in order.
        coordinators: the ranks that coordinate, in the order of their groups.
        alike: whether every rank calls the sites that otherwise only a coordinator calls.
        size: size of the world.
        groups: the ranks that do the operation together.
    """

    ranks: tuple[int, ...]
    coordinators: tuple[int, ...]
    alike: bool
    size: int
    groups: tuple[Group, ...]

    @classmethod
    def of(cls, way: str, op: OperationKind, ranks: int, coordinator: int) -> Cast:
        """The cast of a call style.

        Args:
            way: the call style's name.
            op: the operation.
            ranks: size of the world.
            coordinator: the coordinator's rank within each group.
        """
        style = find_call_style(way)
        groups = style.groups(ranks, coordinator)
        return cls(
            ranks=tuple(sorted(rank for group in groups for rank in group.ranks)),
            coordinators=tuple(group.coordinator for group in groups),
            alike=not style.protocol(DCP, op).collectives,
            size=ranks,
            groups=groups,
        )


@dataclass(frozen=True)
class Menu:
    """What faults are made of.

    Attributes:
        op: the operation to strike.
        operations: how many operations of this kind a case runs.
        sites: the sites to strike, simplest first.
        kinds: site -> the effects that are legal there, simplest first.
        errors: the errors, simplest first.
    """

    op: OperationKind
    operations: int
    sites: tuple[Site, ...]
    kinds: dict[str, list[type[Effect]]]
    errors: tuple[str, ...]

    @classmethod
    def of(
        cls, op: OperationKind, operations: int, effects: Sequence[type[Effect]] | None, errors: Sequence[str], sites: Sequence[str] | None
    ) -> Menu:
        """Checks the arguments of :func:`ckpt_harness.strategies.fault_plans`.

        Raises:
            PlanError: no such site.
            UsageError: a site that the operation never calls, or no effect that is legal anywhere.
        """
        asked = [find_site(name) for name in (storage_sites(op) if sites is None else sites)]
        for site in asked:
            if op not in site.operations:
                raise UsageError(f"site {site.name} is not called in {op!r}; {choices(site.operations)}")
        kinds = {site.name: legal_effects(site, effects) for site in asked}
        usable = tuple(site for site in asked if kinds[site.name])
        if not usable:
            legal = sorted({kind.__name__ for site in asked for kind in legal_effects(site, None)})
            raise UsageError(f"none of the effects is legal at any of {len(asked)} sites; {choices(legal, see='ckpt-harness effects')}")
        return cls(op, operations, usable, kinds, tuple(errors))

    def numbers(self, width: int) -> st.SearchStrategy[Numbers]:
        """Draws what a fault is made from.

        Args:
            width: number of ranks.
        """
        yes, few = st.booleans(), st.integers(0, VARIANTS - 1)
        mask = st.lists(yes, min_size=min(width, _WIDE), max_size=min(width, _WIDE))
        addressing = st.integers(0, self.operations + 1)
        kind = index_of(max(self.kinds.values(), key=len))
        return st.tuples(index_of(self.sites), mask, yes, addressing, few, yes, yes, kind, index_of(self.errors), few)

    def fault(self, numbers: Numbers, cast: Cast) -> Fault:
        """The fault that numbers stand for. Each range of numbers begins with what a human would write first."""
        at, mask, in_words, addressing, nth, for_ever, after, kind, error, variant = numbers
        site = self.sites[at]
        kinds = self.kinds[site.name]
        effect = effect_of(site, kinds[kind % len(kinds)], self.errors[error], variant)
        operation = self._operation(addressing)
        occurrence = nth % self._occurrences(site, operation) + 1
        return Fault(
            site=site.name,
            ranks=ranks_at(site, rank_set(mask, cast), in_words, cast),
            effect=effect,
            nth=occurrence,
            times=None if for_ever else 1,
            after=after and effect.can_be_after and not site.is_future,
            operation=operation,
            # How many items and parts a rank has depends on the workload, and how often it calls its disk also on the engine.
            optional=(site.several and occurrence > 1) or site.layer != "calls" or effect.about_parts,
        )

    def _operation(self, addressing: int) -> OperationRef | None:
        """0: no operation; 1: every operation of the kind; from 2: one of them."""
        if addressing == 0:
            return None
        return OperationRef(self.op, None if addressing == 1 else addressing - 1)

    def _occurrences(self, site: Site, operation: OperationRef | None) -> int:
        """How many calls of a site there are to strike, where a fault counts: within an operation, or over the case."""
        in_an_operation = ITEMS if site.several else 1
        return in_an_operation if operation is not None else in_an_operation * self.operations


def rank_set(mask: list[bool], cast: Cast) -> tuple[int, ...]:
    """The ranks that the mask marks; the lowest if it marks none.

    Of a large world only the lowest ranks, the first coordinator and the last rank can be marked.
    """
    known = cast.ranks
    if len(known) > _WIDE:
        known = tuple(sorted({*known[: _WIDE - 2], *cast.coordinators[:1], known[-1]}))
    marked = reversed(mask)  # so that lower ranks are smaller numbers
    return tuple(rank for rank, mark in zip(known, marked, strict=False) if mark) or known[:1]


def ranks_at(site: Site, chosen: tuple[int, ...], in_words: bool, cast: Cast) -> Ranks:
    """Ranks as numbers or, if there is one, as a word. Drawn as a set, ``all`` shrinks to any single rank."""
    if site.callers == "coordinator":
        callers = cast.ranks if cast.alike else cast.coordinators
        return (next((rank for rank in chosen if rank in callers), callers[0]),) if in_words else "coordinator"
    words: dict[tuple[int, ...], Ranks] = {
        tuple(rank for rank in cast.ranks if rank not in cast.coordinators): "others",
        tuple(sorted(cast.coordinators)): "coordinator",
        cast.ranks: "all",
    }
    return words.get(chosen, chosen) if in_words else chosen
