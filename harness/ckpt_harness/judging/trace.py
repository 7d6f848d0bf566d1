"""Which sites an engine calls, on which rank, in which order, when nothing goes wrong: the course that faults divert.

A trace is read from the history of a fault-free run, or made from the protocol alone where no run is at hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import NamedTuple, cast

from ckpt_harness.faults.protocol import Group, Protocol
from ckpt_harness.faults.sites import SITES, OperationKind
from ckpt_harness.history import History


class Moment(NamedTuple):
    """A call of a site begins, or has acted.

    Attributes:
        site: full name.
        nth: which call of it on this rank within the operation, from 1.
        after: False where the call begins, True where it has acted.
        fails: whether the call fails though nothing is wrong: the engine asks, and goes on if it is told no.
        file: at sites of files and objects, the name.
    """

    site: str
    nth: int
    after: bool
    fails: bool = False
    file: str = ""


@dataclass(frozen=True)
class Trace:
    """The course of a case's operations.

    Attributes:
        moments: for each operation, in order, and each rank, the moments in order.
    """

    moments: Mapping[str, Mapping[int, tuple[Moment, ...]]]

    @classmethod
    def of(cls, history: History) -> Trace:
        """Reads the trace from the history of a run without faults."""
        moments: dict[str, dict[int, list[Moment]]] = {}
        begun: dict[tuple[str, int, str, int], int] = {}
        for event in history:
            if event.kind == "begin":
                moments.setdefault(event.operation, {}).setdefault(event.rank, [])
            elif event.kind in ("enter", "exit", "raised") and event.operation in moments:
                calls, call = moments[event.operation][event.rank], (event.operation, event.rank, event.site, event.nth)
                if event.kind == "enter":
                    begun[call] = len(calls)
                    calls.append(Moment(event.site, event.nth, after=False, file=event.detail))
                elif event.kind == "exit":
                    calls.append(calls[begun[call]]._replace(after=True))
                else:
                    calls[begun[call]] = calls[begun[call]]._replace(fails=True)
        return cls({name: {rank: tuple(found) for rank, found in sorted(ranks.items())} for name, ranks in moments.items()})

    @classmethod
    def nominal(cls, operations: Iterable[str], groups: Iterable[Group], protocol: Protocol) -> Trace:
        """The trace that the protocol alone promises: every site once, in order. How often a per-item site is called it cannot know."""
        coordinators = {rank: rank == group.coordinator for group in groups for rank in group.ranks}
        made: dict[str, dict[int, tuple[Moment, ...]]] = {}
        for name in operations:
            course = protocol.operations[cast(OperationKind, name.partition("[")[0])]
            guarded = [site for step in course.steps for site in (*step.map, *step.reduce)]
            made[name] = {
                rank: tuple(
                    Moment(site, 1, after)
                    for site in (*course.before, *guarded, *course.after)
                    if SITES[site].callers == "every rank" or coordinates or not protocol.collectives
                    for after in (False, True)
                )
                for rank, coordinates in sorted(coordinators.items())
            }
        return cls(made)

    def calls(self, operation: str, rank: int, site: str, glob: str | None) -> int:
        """How often a rank calls a site in an operation; at disk sites, for files that a pattern describes."""
        if glob is None:
            return self.counts[operation, rank, site]
        moments = self.moments[operation].get(rank, ())
        return sum(one.site == site and not one.after and fnmatchcase(one.file, glob) for one in moments)

    @cached_property
    def counts(self) -> Counter[tuple[str, int, str]]:
        """How often each (operation, rank, site) is called."""
        return Counter(
            (name, rank, moment.site)
            for name, ranks in self.moments.items()
            for rank, moments in ranks.items()
            for moment in moments
            if not moment.after
        )

    def reached(self) -> frozenset[str]:
        """The sites that were called at all."""
        return frozenset(site for _, _, site in self.counts)
