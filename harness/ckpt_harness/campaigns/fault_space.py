"""The fault space: every (site, rank, occurrence) that a run without faults reaches, and which of these cells a sweep hit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.faults.sites import SITES, OperationKind


class Cell(NamedTuple):
    """A point of the fault space.

    Attributes:
        site: full name.
        rank: the rank that calls it.
        nth: which of its calls on that rank, from 1.
    """

    site: str
    rank: int
    nth: int


def space(rig: Rig, ground: Case) -> list[Cell]:
    """Every call that a run without faults makes: below the storage where the case watches that layer, else at and above the storage.

    Calls that the engine's protocol forbids are left out. The fault-free case shows them as a violation of ``course``, and no fault can be planned there.

    Args:
        rig: runs the case.
        ground: a case; its plan does not matter.
    """
    bound = ground.bind()
    operation = bound.case.operation
    moments_of_ranks = rig.trace(bound).moments.get(f"{operation}[1]", {})
    cells = []
    for rank, moments in moments_of_ranks.items():
        for moment in moments:
            if moment.after or SITES[moment.site].layer != bound.case.layer:
                continue
            if bound.case.overlap != "none" and operation not in SITES[moment.site].operations:
                continue  # with two operations under way, a fault is addressed to one of them, and cannot be for a site of another kind
            if bound.protocol.allows(moment.site, operation, coordinates=rank in bound.coordinators):
                cells.append(Cell(moment.site, rank, moment.nth))
    return cells


@dataclass
class Coverage:
    """Which cells of a fault space were hit.

    Attributes:
        reachable: all cells, each with the fault-free case that reaches it.
        hit: the cells where a fault was planned, and fired.
    """

    reachable: set[tuple[Case, Cell]] = field(default_factory=set)
    hit: set[tuple[Case, Cell]] = field(default_factory=set)

    @property
    def sites(self) -> set[str]:
        """Every site that was reached."""
        return {cell.site for _, cell in self.reachable}

    def never_reached(self, operations: Iterable[OperationKind]) -> list[str]:
        """Declared sites of the operations that no run reached."""
        wanted, reached = set(operations), self.sites
        layers = {ground.layer for ground, _ in self.reachable}
        return [
            site.name
            for site in SITES.values()
            if wanted.intersection(site.operations) and site.layer in layers and site.name not in reached
        ]
