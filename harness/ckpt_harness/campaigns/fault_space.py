"""The fault space: every (site, rank, occurrence) that a run without faults reaches, and which of these cells a sweep hit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.faults.sites import SITES, OperationKind
from ckpt_harness.judging.trace import Moment


@dataclass(frozen=True)
class Cell:
    """A point of the fault space.

    Attributes:
        site: full name.
        rank: the rank that calls it.
        nth: which of its calls on that rank, from 1.
        file_role: at sites of files and objects, what the file is for, see :func:`with_file_roles`; "" elsewhere.
    """

    site: str
    rank: int
    nth: int
    file_role: str = field(default="", compare=False)


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
        for moment, file_role in with_file_roles(moments):
            if moment.after or SITES[moment.site].layer != bound.case.layer:
                continue
            if bound.case.overlap != "none" and operation not in SITES[moment.site].operations:
                continue  # with two operations under way, a fault is addressed to one of them, and cannot be for a site of another kind
            if bound.protocol.allows(moment.site, operation, coordinates=rank in bound.coordinators):
                cells.append(Cell(moment.site, rank, moment.nth, file_role))
    return cells


def with_file_roles(moments: Iterable[Moment]) -> Iterator[tuple[Moment, str]]:
    """Says for each call what its file is for: the call of the storage that uses the file, and the ending of the file's name.

    So data files, the commit file and an index of the engine's own are distinguished, whatever they are called; data files of one kind are not.

    Args:
        moments: the calls of one rank in one operation, in order.

    Example:
        >>> calls = [("writer.write_data", ""), ("fs.write", "__0_0.distcp"), ("fs.write", "__0_1.distcp")]
        >>> [role for _, role in with_file_roles(Moment(site, 1, after=False, file=file) for site, file in calls)]
        ['', 'writer.write_data .distcp', 'writer.write_data .distcp']
    """
    under_way: list[str] = []
    for moment in moments:
        site = SITES[moment.site]
        if site.side in ("writer", "reader") and not site.is_future:
            if moment.after:
                under_way.remove(moment.site)
            elif not moment.fails:  # the end of a call that fails is not in the trace
                under_way.append(moment.site)
        yield moment, f"{under_way[-1] if under_way else 'no call'} {_ending(moment.file)}" if moment.file else ""


def _ending(file: str) -> str:
    """The ending of a name, without the numbers and random digits in which files of one kind differ."""
    _, dot, ending = file.rpartition(".")
    return dot + _NUMBERS.sub("#", ending) if dot else ""


_NUMBERS = re.compile(r"[0-9a-f]{6,}|[0-9]+")


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
