"""Which sites an engine calls, on which rank and in which order, when nothing goes wrong.

A trace is read from the history of a fault-free run or, where there is no run, made from the protocol alone.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any, NamedTuple, cast

from ckpt_harness.faults.protocol import Group, Protocol
from ckpt_harness.faults.sites import SITES, OperationKind
from ckpt_harness.history import History


class Moment(NamedTuple):
    """A call of a site begins, or has acted.

    Attributes:
        site: full name.
        nth: which call of the site on this rank within the operation, from 1.
        after: False when the call begins, True when it has acted.
        fails: whether the call fails although nothing is wrong. Example: the engine asks for an object that does not exist yet, and goes on.
        file: the name of the file or object, at sites of files and objects.
    """

    site: str
    nth: int
    after: bool
    fails: bool = False
    file: str = ""


@dataclass(frozen=True)
class Trace:
    """The calls of a case's operations.

    Attributes:
        moments: operation -> rank -> moments, all in order.
    """

    moments: Mapping[str, Mapping[int, tuple[Moment, ...]]]

    @classmethod
    def of(cls, history: History) -> Trace:
        """Reads the trace from the history of a run without faults.

        Args:
            history: calls outside of an operation are left out.
        """
        moments: dict[str, dict[int, list[Moment]]] = {}
        begun: dict[tuple[str, int, str, int], int] = {}
        for event in history:
            if event.kind == "begin":
                moments.setdefault(event.operation, {}).setdefault(event.rank, [])
            elif event.kind in ("enter", "exit", "raised") and event.operation in moments:
                calls = moments[event.operation][event.rank]
                call = (event.operation, event.rank, event.site, event.nth)
                if event.kind == "enter":
                    begun[call] = len(calls)
                    calls.append(Moment(event.site, event.nth, after=False, file=event.detail))
                elif event.kind == "exit":
                    calls.append(calls[begun[call]]._replace(after=True))
                else:
                    calls[begun[call]] = calls[begun[call]]._replace(fails=True)
        return cls({operation: {rank: tuple(calls) for rank, calls in sorted(by_rank.items())} for operation, by_rank in moments.items()})

    @classmethod
    def nominal(cls, operations: Iterable[str], groups: Iterable[Group], protocol: Protocol) -> Trace:
        """The trace that the protocol alone promises: every site once, in order. It does not know how often a per-item site is called.

        Args:
            operations: such as ``save[1]``.
            groups: the ranks that do the operations together.
            protocol: the engine's protocol.

        Example:
            >>> from ckpt_harness.faults.protocol import DCP
            >>> trace = Trace.nominal(["save[1]"], [Group((0, 1), coordinator=0)], DCP)
            >>> trace.calls("save[1]", 0, "writer.finish"), trace.calls("save[1]", 1, "writer.finish")
            (1, 0)
        """
        coordinates = {rank: rank == group.coordinator for group in groups for rank in group.ranks}
        moments: dict[str, dict[int, tuple[Moment, ...]]] = {}
        for operation in operations:
            sites = protocol.operations[cast(OperationKind, operation.partition("[")[0])].sites
            of_every_rank = [site for site in sites if SITES[site].callers == "every rank" or not protocol.collectives]
            moments[operation] = {rank: _once_each(sites if coordinates[rank] else of_every_rank) for rank in sorted(coordinates)}
        return cls(moments)

    def for_each(self, operations: Iterable[str]) -> Trace:
        """The trace of several operations of one kind, each of which makes the calls of the only operation here.

        Args:
            operations: such as ``async_save[1]`` and ``async_save[2]``.
        """
        (moments,) = self.moments.values()
        return Trace(dict.fromkeys(operations, moments))

    def calls(self, operation: str, rank: int, site: str, glob: str | None = None) -> int:
        """How often a rank calls a site in an operation.

        Args:
            operation: such as ``save[1]``.
            rank: the rank.
            site: full name.
            glob: at sites of files and objects, count only calls with names that match this pattern.
        """
        if glob is None:
            return self.counts[operation, rank, site]
        moments = self.moments[operation].get(rank, ())
        return sum(moment.site == site and not moment.after and fnmatchcase(moment.file, glob) for moment in moments)

    @cached_property
    def routes(self) -> dict[object, Any]:
        """What the model (:mod:`ckpt_harness.judging.walk`) has worked out about these calls, whatever the plan; empty at first."""
        return {}

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


def _once_each(sites: Iterable[str]) -> tuple[Moment, ...]:
    """Each site is called once: the beginning and the end of the call."""
    return tuple(Moment(site, 1, after) for site in sites for after in (False, True))
