"""Follows the ranks of a case along their fault-free trace, and applies the plan's faults on the way.

The result of each section is its :class:`~ckpt_harness.judging.impact.Impact`: which ranks fail there, hang, or come late. What follows from that for
all ranks is decided in :mod:`ckpt_harness.judging.model`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from ckpt_harness.faults.bound_plan import BoundFault, BoundPlan
from ckpt_harness.faults.effects import NoSpace
from ckpt_harness.faults.protocol import storage_call
from ckpt_harness.faults.sites import SITES
from ckpt_harness.judging.expectation import Acting
from ckpt_harness.judging.firings import Firings
from ckpt_harness.judging.impact import SENT_BY_THE_COORDINATOR, Call, Impact, apply, is_collective, only_delays, seconds_late
from ckpt_harness.judging.occurrences import Occurrences
from ckpt_harness.judging.sections import Sections
from ckpt_harness.judging.trace import Moment, Trace


class _Waypoint(NamedTuple):
    """A moment of one rank, on its way through an operation.

    Attributes:
        moment: the moment.
        section: the number of the section that it belongs to.
        storage_call: the call of the storage that goes on from here; "" for no new call.
    """

    moment: Moment
    section: int
    storage_call: str


class Walk:
    """Follows ranks section by section; counts their calls over the whole case, as plans do.

    Args:
        bound: the plan, bound to the world.
        trace: the course of the case without faults.
        firings: where faults without an operation have fired.
    """

    def __init__(self, bound: BoundPlan, trace: Trace, firings: Firings) -> None:
        self._trace = trace
        self._collectives = bound.protocol.collectives
        self._firings = firings
        self._occurrences = Occurrences(bound, firings)
        self._storage_call: dict[int, str] = {}
        self._late: dict[tuple[str, int], list[Acting]] = {}

    def unnoticed(self, operation: str, ranks: tuple[int, ...]) -> float:
        """Seconds by which delays behind the last collective of an operation, for which no rank waits, prolong it.

        Args:
            operation: such as ``save[1]``.
            ranks: the ranks that take part.
        """
        return max((sum(map(seconds_late, self._late.get((operation, rank), ()))) for rank in ranks), default=0.0)

    @property
    def missed(self) -> frozenset[tuple[str, int]]:
        """(text of the fault, rank) of faults that fired nowhere, although the ranks came as far as the call that the fault counts."""
        return frozenset(self._occurrences.missed)

    def section(
        self, operation: str, ranks: tuple[int, ...], sections: Sections, number: int, coordinator: int, *, only_collectives: bool = False
    ) -> Impact:
        """Follows ranks through one section.

        Each rank gets as far as its faults let it. A rank that fails in a protocol step still takes part in the collectives of the step: by them
        the ranks learn of the failure.

        Args:
            operation: such as ``save[1]``.
            ranks: the ranks that take part in the section.
            sections: the operation's sections.
            number: which of them.
            coordinator: the rank that coordinates.
            only_collectives: whether the ranks make no other calls in the section, since its step has failed.
        """
        impact = Impact()
        for rank in ranks:
            no_part_in_reduce = self._collectives and sections.is_reduce(number) and rank != coordinator
            only_exchanges = only_collectives or no_part_in_reduce
            for moment in self._moments(operation, rank, sections, number, coordinator):
                if only_exchanges and not is_collective(moment):
                    continue
                if self._passes(operation, rank, moment, impact, coordinator):
                    continue
                if is_collective(moment) or rank not in impact.raised or not (self._collectives and sections.is_guarded(number)):
                    break
                only_exchanges = True  # the rank has failed, and reports its error
        if number != sections.last and number not in self._sections_of_collectives(operation, sections, coordinator).values():
            for rank in ranks:
                self._meet(operation, rank, impact, None)  # the collectives of a later section wait, or those that the trace does not show
        return impact

    def _meet(self, operation: str, rank: int, impact: Impact, collective: Call | None) -> None:
        """A rank comes to a collective: other ranks have waited for it as long as its delays took since the collective before."""
        impact.late.setdefault(collective, Counter())
        for acting in self._late.pop((operation, rank), ()):
            impact.delay(acting, seconds_late(acting), collective)

    def _moments(self, operation: str, rank: int, sections: Sections, number: int, coordinator: int) -> Iterator[Moment]:
        """The moments of one rank that belong to a section, in order. On the way the rank passes those of earlier sections once more."""
        for moment, here, call in self._route(operation, rank, sections, coordinator):
            if here > number:
                if here == sections.last:
                    continue  # no rank waits for the last section, so its calls may come at any time
                return
            if call:
                self._storage_call[rank] = call
            if here == number:
                yield moment

    def _route(self, operation: str, rank: int, sections: Sections, coordinator: int) -> Sequence[_Waypoint]:
        """All moments of one rank in an operation. They are the same for every plan, so the trace keeps them for the next."""
        key = (operation, rank, coordinator, sections.declared)
        route: Sequence[_Waypoint] | None = self._trace.routes.get(key)
        if route is None:
            route = self._trace.routes[key] = tuple(self._waypoints(operation, rank, sections, coordinator))
        return route

    def _waypoints(self, operation: str, rank: int, sections: Sections, coordinator: int) -> Iterator[_Waypoint]:
        exchanges = self._sections_of_collectives(operation, sections, coordinator)
        current = 0
        for moment in self._trace.moments[operation].get(rank, ()):
            here = exchanges.get(_call(moment), current) if is_collective(moment) else sections.number_of(moment, current)
            if here != sections.last:
                here = current = max(current, here)
            yield _Waypoint(moment, here, _storage_call(moment))

    def _sections_of_collectives(self, operation: str, sections: Sections, coordinator: int) -> Mapping[Call, int]:
        """The section that each collective belongs to, on every rank: the section in which the coordinator calls it.

        Only the coordinator's own calls show whether a collective lies ahead of the reduce or behind it.
        """
        key = (operation, coordinator, sections.declared)
        known: Mapping[Call, int] | None = self._trace.routes.get(key)
        if known is None:
            current, exchanges = 0, {}
            for moment in self._trace.moments[operation].get(coordinator, ()):
                if is_collective(moment):
                    exchanges[_call(moment)] = current
                elif (here := sections.number_of(moment, current)) != sections.last:
                    current = max(current, here)
            known = self._trace.routes[key] = exchanges
        return known

    def _passes(self, operation: str, rank: int, moment: Moment, impact: Impact, coordinator: int) -> bool:
        """Applies the fault that strikes a moment, if any; False if the rank gets no further."""
        struck = self._occurrences.fault_at(operation, rank, moment)
        passes = struck is None or self._applies(struck, operation, rank, moment, impact, coordinator)
        if passes and is_collective(moment) and not moment.after:
            if self._late.get((operation, rank)) and self._only_receives_at_last(operation, rank, moment, coordinator):
                impact.late_receivers.add(rank)
            self._meet(operation, rank, impact, _call(moment))
        return passes

    def _only_receives_at_last(self, operation: str, rank: int, moment: Moment, coordinator: int) -> bool:
        """Whether a collective is the last of its rank in the operation, and the coordinator sends what the rank receives there."""
        last = [other for other in self._trace.moments[operation][rank] if is_collective(other) and not other.after][-1]
        return moment == last and rank != coordinator and moment.site in SENT_BY_THE_COORDINATOR

    def _applies(self, struck: BoundFault, operation: str, rank: int, moment: Moment, impact: Impact, coordinator: int) -> bool:
        """Applies a fault at a moment; False if the rank gets no further."""
        acting = Acting(struck, rank, within=self._storage_call.get(rank, "") if SITES[moment.site].layer != "calls" else "")
        if not any(unclear.rank == rank for unclear in impact.unclear):  # behind a wrong result the engine may not reach this fault
            impact.fired.add((str(struck.fault), rank))
            if is_collective(moment):
                impact.fired_in_collectives.add((str(struck.fault), rank))
        if only_delays(acting):
            self._late.setdefault((operation, rank), []).append(acting)
            return True
        if isinstance(struck.fault.effect, NoSpace) and self._firings.later(struck.fault, rank, operation, acting.within):
            impact.unclear.append(acting)  # the rank goes on, and fails in a call that only the sizes of the files decide
            return True
        return apply(acting, moment, impact, coordinator)


def _storage_call(moment: Moment) -> str:
    """The call of the storage that goes on from this moment, so that a disk or network fault knows the call that it makes fail; "" for no new call."""
    return "" if moment.after else storage_call(moment.site)


def _call(moment: Moment) -> Call:
    return moment.site, moment.nth, moment.after
