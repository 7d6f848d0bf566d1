"""What a bound plan must lead to: a pure model of the engine's protocol, which shares no code with what injects or runs.

In each protocol step every rank's map runs; a failure ends the step before its reduce; a failed step ends the operation. So with several faults
the model says which step fails, which ranks are blamed, and which faults can no longer fire.

The model follows the ranks section by section (:mod:`ckpt_harness.judging.walk`), and decides after each section whether it ends the operation:
``_Model._decide`` is the place to read first.

Not modelled: the consequences of wrong results (UNDETERMINED), how long a stalled peer waits, and errors of the engine's own making.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from ckpt_harness.faults.bound_plan import BoundFault, BoundPlan
from ckpt_harness.faults.effects import Delay, Hang, Kill, NeverComplete
from ckpt_harness.faults.protocol import Group
from ckpt_harness.judging.expectation import DECEPTIONS, Acting, Ending, Expectation, Forecast
from ckpt_harness.judging.firings import NO_FIRINGS, Firings
from ckpt_harness.judging.impact import Impact
from ckpt_harness.judging.sections import Sections
from ckpt_harness.judging.together import behind_a_timeout, beside
from ckpt_harness.judging.trace import Trace
from ckpt_harness.judging.walk import Walk

DEFAULT_TIMEOUT = 1800.0
"""Seconds; torch's default is 30 minutes for gloo groups and 10 for NCCL groups."""

_NEAR = 0.1
"""A delay that comes this close to the timeout, as a part of it, may end either way."""


def forecast(
    bound: BoundPlan,
    trace: Trace,
    *,
    timeout: float = DEFAULT_TIMEOUT,
    firings: Firings = NO_FIRINGS,
    groups: Mapping[str, Sequence[Group]] | None = None,
) -> Forecast:
    """Says what a plan must lead to.

    Args:
        bound: the plan, bound to the world.
        trace: the course of the case without faults.
        timeout: seconds that a collective waits for late ranks.
        firings: where faults without an operation have fired, if the operations of the case run at the same time.
        groups: operation -> the groups of ranks that do it, where operations differ in the rank that coordinates.

    Returns:
        One expectation for each operation and group of ranks, in the order of the trace.

    Example:
        >>> from ckpt_harness.faults.plan import FaultPlan
        >>> bound = FaultPlan.parse("writer.finish@coordinator=raise").bind(2)
        >>> [owed] = forecast(bound, Trace.nominal(["save[1]"], bound.groups, bound.protocol)).expectations
        >>> owed.ending.name, owed.step, list(owed.failures)
        ('FAILS', 'write', [0])
    """
    walk = Walk(bound, trace, firings)
    alone = []
    for operation, by_rank in trace.moments.items():
        for group in (groups or {}).get(operation, bound.groups):
            ranks = tuple(rank for rank in group.ranks if rank in by_rank)
            if ranks:
                alone.append(_Model(bound, walk, firings, timeout, operation, group, ranks).expectation())
    latest = timeout * (1 - _NEAR)
    met = [beside(bound, owed, _others(owed, alone), latest, firings) for owed in alone]
    expectations = [behind_a_timeout(owed, _others(owed, met), latest) for owed in met]
    if walk.missed and all(owed.exact for owed in expectations):  # no rank was lost on its way to the call
        last = expectations[-1]  # whichever: the oracle ``fired`` joins what all operations owe
        expectations[-1] = replace(last, must_fire=last.must_fire | walk.missed)
    return Forecast(tuple(expectations), frozenset(_unreachable(bound, trace)))


def _others(owed: Expectation, expectations: Sequence[Expectation]) -> list[Expectation]:
    """What the other operations must lead to."""
    return [other for other in expectations if other.operation != owed.operation]


def _unreachable(bound: BoundPlan, trace: Trace) -> list[tuple[str, int]]:
    """(text of the fault, rank) of faults that match no call of the fault-free run."""
    return [(str(struck.fault), rank) for struck in bound.faults for rank in struck.ranks if not _is_reachable(struck, rank, trace)]


def _is_reachable(struck: BoundFault, rank: int, trace: Trace) -> bool:
    fault = struck.fault
    calls = {operation: trace.calls(operation, rank, fault.site, fault.glob) for operation in trace.moments}
    if fault.operation is None:
        return sum(calls.values()) >= fault.nth
    return any(count >= fault.nth for operation, count in calls.items() if fault.operation.matches(operation))


class _Model:
    """The model of one operation of one group.

    Args:
        bound: the plan.
        walk: follows the ranks; shared by all operations of the case, since calls are counted over the case.
        firings: where faults without an operation have fired.
        timeout: seconds that a collective waits for late ranks.
        operation: such as ``save[1]``.
        group: the group.
        ranks: its ranks that take part.
    """

    def __init__(
        self, bound: BoundPlan, walk: Walk, firings: Firings, timeout: float, operation: str, group: Group, ranks: tuple[int, ...]
    ) -> None:
        self._bound, self._walk, self._firings, self._timeout = bound, walk, firings, timeout
        self._operation, self._group, self._ranks = operation, group, ranks
        self._sections = Sections(bound.protocol, operation)
        self._delayed = 0.0
        self._works_beside = operation.startswith("async_save")  # the calls of the last section are made beside the steps
        self._followed_beside = set[int]()

    def expectation(self) -> Expectation:
        """What the operation must lead to."""
        joined = self._bound.protocol.collectives or len(self._ranks) == 1
        owed = self._joined() if joined else replace(self._apart(), agreement=False, apart=True)
        owed = self._with_what_is_lost_beside(owed)
        if owed.ending is Ending.UNDETERMINED:
            owed = self._with_possible_lies(owed)
        delayed = self._delayed + self._walk.unnoticed(self._operation, self._ranks)
        return replace(owed, coordinator=self._group.coordinator, delayed=delayed)

    def _joined(self) -> Expectation:
        """Collectives join the ranks: the first section with a failure, a stall or an unclear result ends the operation for all of them."""
        fired: set[tuple[str, int]] = set()
        ahead: Counter[int] = Counter()  # by how much each rank is late for the next collective
        for number in range(self._sections.last + 1):
            impact = self._follow(number, self._ranks)
            if impact.raised and self._sections.is_map(number):
                # The step fails ahead of its reduce, and the ranks learn of the failure by the collectives behind the reduce.
                impact.add(self._follow(number + 1, self._ranks, only_collectives=True))
            fired |= impact.due()
            base = self._base(fired, self._sections.step(number))
            if number == self._sections.last and impact.stalled:
                # Behind the last collective no rank can be informed any more; beside the steps, a rank may be lost ahead of faults in the steps.
                return _either_way(replace(base, must_fire=frozenset(impact.fired)) if self._works_beside else base, impact.stalled)
            guarded = self._sections.is_guarded(number)
            # Ahead of the first collective a rank that is in time may still come late; behind the last, no rank waits for another.
            decided = self._decide(base, impact, _lateness(ahead, impact) if guarded else ())
            if decided is not None:
                return decided
            # The collective behind a guarded section has waited for the late ranks.
            ahead = Counter() if guarded else ahead + impact.late_in_all()
        return replace(self._base(fired), ending=Ending.SUCCEEDS)

    def _apart(self) -> Expectation:
        """Without collectives each rank goes its own way, and the ranks wait for each other only at the end."""
        whole, going = Impact(), set(self._ranks)
        for number in range(self._sections.last + 1):
            impact = self._follow(number, tuple(rank for rank in self._ranks if rank in going))
            whole.add(impact)
            going -= impact.stopped()
        base = self._base(whole.fired)
        return self._decide(base, whole, (whole.late_in_all(),)) or replace(base, ending=Ending.SUCCEEDS)

    def _with_what_is_lost_beside(self, owed: Expectation) -> Expectation:
        """A rank may hang or die beside the steps, whether or not a step fails, ahead of what happens in the steps or after it."""
        ranks = tuple(rank for rank in self._ranks if rank not in self._followed_beside)
        if not self._works_beside or not ranks:
            return owed
        lost = self._follow(self._sections.last, ranks).stalled
        if not lost:
            return owed
        owed = replace(owed, must_fire=frozenset())
        if owed.ending is Ending.STALLS:
            return owed
        return _either_way(replace(owed, ending=Ending.UNDETERMINED, failures={}), (*owed.decisive, *lost))

    def _with_possible_lies(self, base: Expectation) -> Expectation:
        """An operation without a certain ending may go on to any call that deceives the engine."""
        lies = []
        for struck, ranks in self._own_faults():
            if isinstance(struck.fault.effect, DECEPTIONS):
                lies += [Acting(struck, rank) for rank in self._ranks if rank in ranks]
        return replace(base, possible_lies=tuple(lies), deceived=base.deceived or bool(lies))

    def _follow(self, number: int, ranks: tuple[int, ...], *, only_collectives: bool = False) -> Impact:
        if number == self._sections.last:
            self._followed_beside.update(ranks)
        impact = self._walk.section(
            self._operation, ranks, self._sections, number, self._group.coordinator, only_collectives=only_collectives
        )
        self._delayed += sum(max(seconds.values(), default=0) for seconds in impact.late.values())  # each collective waits for its latest rank
        return impact

    def _base(self, fired: set[tuple[str, int]], step: str = "") -> Expectation:
        """An expectation whose ending is still to be decided."""
        return Expectation(self._operation, self._ranks, Ending.UNDETERMINED, step, must_fire=frozenset(fired))

    def _decide(self, base: Expectation, impact: Impact, lateness: Sequence[Mapping[int, float]]) -> Expectation | None:
        """How the operation ends, if this section ends it; else None.

        Args:
            base: the expectation without an ending.
            impact: what the section's faults do.
            lateness: for each collective of the section: rank -> seconds by which the rank comes late to it.
        """
        if impact.unclear or impact.answered:
            return self._unclear(base, impact)
        waits = [(rank, seconds) for late in lateness for rank, seconds in self._waits(late)]
        wait = max((seconds for _, seconds in waits), default=0.0)
        behind = {rank for rank, seconds in waits if seconds > self._timeout * (1 - _NEAR)}
        if behind and behind <= impact.late_receivers and not impact.stalled:
            return _either_way(base, impact.delays)  # ranks that are in time receive, and do not wait for each other
        if impact.stalled or wait > self._timeout * (1 + _NEAR):
            return replace(base, ending=Ending.STALLS, decisive=(*impact.stalled, *impact.delays))
        if wait > self._timeout * (1 - _NEAR):
            return _either_way(base, impact.delays)
        if impact.raised:
            return self._failed(base, impact)
        return None

    def _waits(self, late: Mapping[int, float]) -> Iterator[tuple[int, float]]:
        """The ranks that come late to a collective, and how many seconds the first rank there waits for each."""
        first = min(late.get(rank, 0.0) for rank in self._ranks)
        for rank, seconds in late.items():
            yield rank, seconds - first

    def _unclear(self, base: Expectation, impact: Impact) -> Expectation:
        """A fault has no certain consequences: whatever the ranks do, they must agree, unless a rank may be lost."""
        return replace(
            base,
            decisive=(*impact.unclear, *impact.raised.values(), *impact.stalled),
            deceived=any(isinstance(acting.bound.fault.effect, DECEPTIONS) for acting in impact.unclear),
            agreement=not (impact.lost_in_collective or impact.stalled or self._may_lose_a_rank()),
        )

    def _failed(self, base: Expectation, impact: Impact) -> Expectation:
        """Ranks raise errors: all ranks must report exactly these errors."""
        raised = tuple(impact.raised.values())
        if not base.step and self._bound.protocol.collectives and self._may_lose_a_rank():
            # No collective holds the other ranks back here, so a later fault may take a rank that should be informed.
            return _either_way(base, raised)
        if self._may_meet_another_fault(raised):
            return replace(base, decisive=raised, agreement=not self._may_lose_a_rank())
        failures = {self._group.within(rank): acting.error for rank, acting in impact.raised.items() if acting.error is not None}
        return replace(
            base,
            ending=Ending.FAILS,
            failures=dict(sorted(failures.items())),
            decisive=raised,
            maskable=all(acting.bound.fault.at.layer != "calls" for acting in raised),
            lasting=any(acting.bound.fault.at.layer == "network" and acting.bound.fault.times != 1 for acting in raised),
        )

    def _own_faults(self) -> Iterator[tuple[BoundFault, frozenset[int]]]:
        """The faults that may strike this operation, with the ranks that they may strike."""
        for struck in self._bound.faults:
            ranks = frozenset(rank for rank in struck.ranks if self._firings.may_strike(struck.fault, rank, [self._operation]))
            if ranks:
                yield struck, ranks

    def _may_meet_another_fault(self, raised: Sequence[Acting]) -> bool:
        """Whether the engine may go on after these errors and meet another fault: it may repeat what a disk or a store refused, or do without."""
        others = sum(len(ranks) for _, ranks in self._own_faults()) > len(raised)
        return others and any(acting.bound.fault.at.layer != "calls" for acting in raised)

    def _may_lose_a_rank(self) -> bool:
        """Whether a fault of the plan could strike a collective or stall another rank, so that the model cannot say which ranks are still informed."""
        faults = [struck.fault for struck, ranks in self._own_faults() if not ranks.isdisjoint(self._group.ranks)]
        if any(fault.at.side == "pg" for fault in faults):
            return True
        if len(self._group.ranks) == 1:
            return False
        slow = sum(fault.effect.seconds for fault in faults if isinstance(fault.effect, Delay)) > self._timeout * (1 - _NEAR)
        lost = any(isinstance(fault.effect, (Hang, Kill, NeverComplete)) and fault.at.layer != "network" for fault in faults)
        return slow or lost


def _lateness(ahead: Counter[int], impact: Impact) -> list[Counter[int]]:
    """For each collective of a section, in order: by how many seconds each rank comes late to it.

    Args:
        ahead: by how many seconds each rank was late for the next collective when the section began.
        impact: what the section's faults do.
    """
    first, *others = impact.late.values() or [Counter()]
    return [ahead + first, *others]


def _either_way(base: Expectation, decisive: Sequence[Acting]) -> Expectation:
    """Success and failure are both right, on each rank for itself."""
    return replace(base, step="", decisive=tuple(decisive), agreement=False)
