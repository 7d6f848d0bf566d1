"""Follows the ranks of a case along their fault-free trace, and applies the plan's faults on the way.

The result of each section is its :class:`Impact`: which ranks fail there, hang, or come late. What follows from that for all ranks is decided in
:mod:`ckpt_harness.judging.model`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple, cast

from ckpt_harness.faults import error_specs
from ckpt_harness.faults.bound_plan import BoundFault, BoundPlan
from ckpt_harness.faults.effects import (
    CutBody,
    Delay,
    DiskError,
    Effect,
    Exit,
    FailFuture,
    Hang,
    Kill,
    NeverComplete,
    NoSpace,
    Raise,
    Reset,
    Status,
    Stop,
    Throttle,
)
from ckpt_harness.faults.protocol import storage_call
from ckpt_harness.faults.sites import SITES
from ckpt_harness.history import SOME_ERROR, ErrorRecord
from ckpt_harness.judging.expectation import Acting
from ckpt_harness.judging.firings import Firings
from ckpt_harness.judging.occurrences import Occurrences
from ckpt_harness.judging.sections import Sections
from ckpt_harness.judging.trace import Moment, Trace

_REFUSALS = (Status, Reset, CutBody)
"""Effects by which a store, or the way to it, refuses a request. Only the store's client knows which error becomes of them."""

_Call = tuple[str, int, bool]
"""What identifies a moment within an operation of one rank: site, number of the call, and whether the call has acted."""

_SENT_BY_THE_COORDINATOR = ("pg.broadcast", "pg.scatter")
"""Collectives in which the coordinator sends and the other ranks receive."""


_GENERATORS = ("fs.create_stream",)
"""Sites whose calls are generators by their contract, here a context manager made of one. Out of a generator Python lets no StopIteration (PEP 479)."""


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


@dataclass
class Impact:
    """What the faults of one section do.

    Attributes:
        raised: rank -> the error that ends the section for the rank.
        stalled: faults that make their rank wait for ever, or end it.
        unclear: faults without certain consequences.
        fired: (text of the fault, rank).
        fired_in_collectives: the pairs of ``fired`` whose fault strikes a collective.
        late: collective of the section, in order -> rank -> seconds by which the rank comes late to it, counted from the collective before. Under None:
            to the next collective, which lies in a later section, or which the trace does not show.
        delays: the faults that made ranks late.
        lost_in_collective: whether a fault strikes a collective: its peers may or may not have been informed.
        late_receivers: ranks that come late to the last collective, in which they only receive. Other ranks need not wait for them there.
        answered: whether a call fails that fails without faults too, only differently. The engine may take the error for the same answer.
    """

    raised: dict[int, Acting] = field(default_factory=dict)
    stalled: list[Acting] = field(default_factory=list)
    unclear: list[Acting] = field(default_factory=list)
    fired: set[tuple[str, int]] = field(default_factory=set)
    fired_in_collectives: set[tuple[str, int]] = field(default_factory=set)
    late: dict[_Call | None, Counter[int]] = field(default_factory=dict)
    delays: list[Acting] = field(default_factory=list)
    lost_in_collective: bool = False
    late_receivers: set[int] = field(default_factory=set)
    answered: bool = False

    def add(self, other: Impact) -> None:
        """Adds the impact of another section."""
        self.raised |= other.raised
        self.stalled += other.stalled
        self.unclear += other.unclear
        self.fired |= other.fired
        self.fired_in_collectives |= other.fired_in_collectives
        for collective, seconds in other.late.items():
            self.late.setdefault(collective, Counter()).update(seconds)
        self.delays += other.delays
        self.lost_in_collective |= other.lost_in_collective
        self.late_receivers |= other.late_receivers
        self.answered |= other.answered

    def due(self) -> set[tuple[str, int]]:
        """The faults that must fire: (text of the fault, rank).

        A rank whose error cannot be sent may never get to the collectives by which it should report the error, nor may its peers.
        """
        if all(_can_be_sent(acting.bound.fault.effect) for acting in self.raised.values()):
            return self.fired
        return self.fired - self.fired_in_collectives

    def stopped(self) -> set[int]:
        """The ranks that get no further."""
        return self.raised.keys() | {acting.rank for acting in (*self.stalled, *self.unclear)}

    def delay(self, acting: Acting, seconds: float, collective: _Call | None) -> None:
        """A fault makes its rank late for a collective."""
        self.late[collective][acting.rank] += cast(int, seconds)  # a Counter sums floats as well
        self.delays.append(acting)

    def late_in_all(self) -> Counter[int]:
        """By how many seconds the delays of the section make each rank late, all together."""
        return sum(self.late.values(), Counter())


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
        return max((sum(map(_seconds, self._late.get((operation, rank), ()))) for rank in ranks), default=0.0)

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
                if only_exchanges and not _is_collective(moment):
                    continue
                if self._passes(operation, rank, moment, impact, coordinator):
                    continue
                if _is_collective(moment) or rank not in impact.raised or not (self._collectives and sections.is_guarded(number)):
                    break
                only_exchanges = True  # the rank has failed, and reports its error
        if number != sections.last and number not in self._sections_of_collectives(operation, sections, coordinator).values():
            for rank in ranks:
                self._meet(operation, rank, impact, None)  # the collectives of a later section wait, or those that the trace does not show
        return impact

    def _meet(self, operation: str, rank: int, impact: Impact, collective: _Call | None) -> None:
        """A rank comes to a collective: other ranks have waited for it as long as its delays took since the collective before."""
        impact.late.setdefault(collective, Counter())
        for acting in self._late.pop((operation, rank), ()):
            impact.delay(acting, _seconds(acting), collective)

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
            here = exchanges.get(_call(moment), current) if _is_collective(moment) else sections.number_of(moment, current)
            if here != sections.last:
                here = current = max(current, here)
            yield _Waypoint(moment, here, _storage_call(moment))

    def _sections_of_collectives(self, operation: str, sections: Sections, coordinator: int) -> Mapping[_Call, int]:
        """The section that each collective belongs to, on every rank: the section in which the coordinator calls it.

        Only the coordinator's own calls show whether a collective lies ahead of the reduce or behind it.
        """
        key = (operation, coordinator, sections.declared)
        known: Mapping[_Call, int] | None = self._trace.routes.get(key)
        if known is None:
            current, exchanges = 0, {}
            for moment in self._trace.moments[operation].get(coordinator, ()):
                if _is_collective(moment):
                    exchanges[_call(moment)] = current
                elif (here := sections.number_of(moment, current)) != sections.last:
                    current = max(current, here)
            known = self._trace.routes[key] = exchanges
        return known

    def _passes(self, operation: str, rank: int, moment: Moment, impact: Impact, coordinator: int) -> bool:
        """Applies the fault that strikes a moment, if any; False if the rank gets no further."""
        struck = self._occurrences.fault_at(operation, rank, moment)
        passes = struck is None or self._applies(struck, operation, rank, moment, impact, coordinator)
        if passes and _is_collective(moment) and not moment.after:
            if self._late.get((operation, rank)) and self._only_receives_at_last(operation, rank, moment, coordinator):
                impact.late_receivers.add(rank)
            self._meet(operation, rank, impact, _call(moment))
        return passes

    def _only_receives_at_last(self, operation: str, rank: int, moment: Moment, coordinator: int) -> bool:
        """Whether a collective is the last of its rank in the operation, and the coordinator sends what the rank receives there."""
        last = [other for other in self._trace.moments[operation][rank] if _is_collective(other) and not other.after][-1]
        return moment == last and rank != coordinator and moment.site in _SENT_BY_THE_COORDINATOR

    def _applies(self, struck: BoundFault, operation: str, rank: int, moment: Moment, impact: Impact, coordinator: int) -> bool:
        """Applies a fault at a moment; False if the rank gets no further."""
        acting = Acting(struck, rank, within=self._storage_call.get(rank, "") if SITES[moment.site].layer != "calls" else "")
        if not any(unclear.rank == rank for unclear in impact.unclear):  # behind a wrong result the engine may not reach this fault
            impact.fired.add((str(struck.fault), rank))
            if _is_collective(moment):
                impact.fired_in_collectives.add((str(struck.fault), rank))
        if _delays(acting):
            self._late.setdefault((operation, rank), []).append(acting)
            return True
        if isinstance(struck.fault.effect, NoSpace) and self._firings.later(struck.fault, rank, operation, acting.within):
            impact.unclear.append(acting)  # the rank goes on, and fails in a call that only the sizes of the files decide
            return True
        return _apply(acting, moment, impact, coordinator)


def _delays(acting: Acting) -> bool:
    """Whether a fault makes its rank late, and does nothing else. On the way to a store a delay takes real time."""
    effect = acting.bound.fault.effect
    return (isinstance(effect, Delay) and acting.bound.fault.at.layer != "network") or (isinstance(effect, Stop) and math.isfinite(effect.seconds))


def _seconds(acting: Acting) -> float:
    """By how many seconds a fault makes its rank late."""
    effect = acting.bound.fault.effect
    assert isinstance(effect, (Delay, Stop)), f"{acting.bound.fault} delays nothing"
    return effect.seconds


def _is_collective(moment: Moment) -> bool:
    """Whether a moment belongs to a call of a collective."""
    return moment.site.startswith("pg.")


def _storage_call(moment: Moment) -> str:
    """The call of the storage that goes on from this moment, so that a disk or network fault knows the call that it makes fail; "" for no new call."""
    return "" if moment.after else storage_call(moment.site)


def _call(moment: Moment) -> _Call:
    return moment.site, moment.nth, moment.after


def _apply(acting: Acting, moment: Moment, impact: Impact, coordinator: int) -> bool:
    """Adds to ``impact`` what a fault does at a moment; False if its rank gets no further."""
    effect = acting.bound.fault.effect
    if SITES[moment.site].layer == "network" and isinstance(effect, (Delay, Throttle)):
        impact.answered = True  # these take real time, and only the store's client knows how long it waits
        return True
    if _is_collective(moment):
        sends_nothing = not moment.after and (moment.site not in _SENT_BY_THE_COORDINATOR or acting.rank == coordinator)
        impact.lost_in_collective = True
        (impact.stalled if sends_nothing else impact.unclear).append(acting)
        return False
    if moment.fails and isinstance(effect, (Raise, DiskError, *_REFUSALS)):
        impact.answered = True
        return True
    error = _error_of(effect, moment.site, acting.rank)
    if error is not None:
        impact.raised[acting.rank] = replace(acting, error=error)
        return False
    if isinstance(effect, (Hang, Kill, Stop, Exit, NeverComplete)):
        impact.stalled.append(acting)
        return False
    impact.unclear.append(acting)
    return True


def _error_of(effect: Effect, site: str, rank: int) -> ErrorRecord | None:
    """The error that an effect raises, or None."""
    if isinstance(effect, (Raise, FailFuture)):
        error = error_specs.injected(effect.error, site, rank)
        return ErrorRecord.of(_leaving_a_generator(error) if site in _GENERATORS else error)
    if isinstance(effect, NoSpace):
        return ErrorRecord.of(error_specs.of_system("ENOSPC"))
    if isinstance(effect, DiskError):
        return ErrorRecord.of(error_specs.of_system(effect.errno))
    if isinstance(effect, _REFUSALS) or (isinstance(effect, Hang) and SITES[site].layer == "network"):
        return SOME_ERROR  # a store's client gives up at some point, with an error of its own
    return None


def _leaving_a_generator(error: BaseException) -> BaseException:
    """What Python makes of an error that leaves a generator."""
    if not isinstance(error, StopIteration):
        return error
    replacement = RuntimeError("generator raised StopIteration")
    replacement.__cause__ = error
    return replacement


def _can_be_sent(effect: Effect) -> bool:
    """Whether the error of an effect can certainly be sent to another rank. Only the store's client knows the error that it makes of a refusal."""
    if isinstance(effect, (Raise, FailFuture)):
        return error_specs.crosses(effect.error)
    return not isinstance(effect, (*_REFUSALS, Hang))
