"""What a bound plan must lead to: a pure model of the engine's protocol, which shares no code with what injects or runs.

In each protocol step every rank's map runs; a failure ends the step before its reduce; a failed step ends the operation. So with several faults
the model says which step fails, which ranks are named, and which faults can no longer fire.

Not modelled: what wrong results lead to (UNDETERMINED), how long a stalled peer waits, and errors of the engine's own making.
"""

from __future__ import annotations

import enum
import math
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import cast

from ckpt_harness.faults import error_specs as zoo
from ckpt_harness.faults.effects import (
    BitFlip,
    CutBody,
    Delay,
    DiskError,
    Effect,
    Exit,
    FailFuture,
    Hang,
    Kill,
    Misdirect,
    NeverComplete,
    NoSpace,
    Raise,
    Reset,
    Skip,
    StaleRead,
    Status,
    Stop,
    Throttle,
    TornWrite,
    Truncate,
    WrongResult,
    ZeroFill,
)
from ckpt_harness.faults.plan import BoundFault, BoundPlan
from ckpt_harness.faults.protocol import NESTED, Group
from ckpt_harness.faults.sites import SITES, OperationKind
from ckpt_harness.history import SOME_ERROR, ErrorRecord
from ckpt_harness.judging.trace import Moment, Trace

DEFAULT_TIMEOUT = 1800.0
"""Seconds; torch's default for gloo and NCCL groups is 30 and 10 minutes."""

DAMAGES = (TornWrite, BitFlip, ZeroFill, Truncate, Misdirect)
"""Effects that damage bytes."""
DECEPTIONS = (*DAMAGES, Skip, WrongResult, StaleRead)
"""Effects by which a call says what is not so."""

_REFUSALS = (Status, Reset, CutBody)
"""Effects by which a store, or the way there, refuses a request: what its client makes of them it alone knows."""

_NEAR = 0.1
"""How close to the timeout, as a part of it, a delay must come for either outcome to be right."""


class Ending(enum.Enum):
    """How an operation must end."""

    SUCCEEDS = "succeeds"
    FAILS = "fails"
    STALLS = "stalls"
    UNDETERMINED = "undetermined"


@dataclass(frozen=True)
class Acting:
    """A fault that acts.

    Attributes:
        bound: the fault.
        rank: where.
        error: what it raises, as data; None for effects that raise nothing.
        within: for a site below the storage, the site whose call is struck by it.
    """

    bound: BoundFault
    rank: int
    error: ErrorRecord | None = None
    within: str = ""

    @property
    def where(self) -> str:
        """The site that fails as its callers see it."""
        return self.within or self.bound.fault.site


@dataclass(frozen=True)
class Expectation:
    """What one operation must lead to.

    Attributes:
        operation: such as ``save[1]``.
        ranks: the ranks that take part, in the order of their ranks within the group.
        ending: how it must end; exact for SUCCEEDS and FAILS.
        step: the protocol step that must fail, or "" where nothing guards the site.
        failures: what a ``CheckpointException`` must name: rank within the group -> error.
        decisive: the faults that decide the outcome.
        must_fire: (text of the fault, rank) of every fault that acts.
        coordinator: the rank of the world that coordinates.
        deceived: whether a call said yes and did not do what it should have.
        agreement: whether all ranks owe the same outcome; not where a rank is lost in the very exchange that tells the others.
        apart: whether nobody is told of others: those in ``failures`` raise their own errors, and all others end in some way.
        delayed: seconds of the world's time that the injected delays cost at most.
        maskable: whether success is right as well, with what is stored right: an engine may try a failed call below the storage again, or do without it.
        lasting: whether what fails may be made good at first, and fail again in a later step.
    """

    operation: str
    ranks: tuple[int, ...]
    ending: Ending
    step: str = ""
    failures: Mapping[int, ErrorRecord] = field(default_factory=dict)
    decisive: tuple[Acting, ...] = ()
    must_fire: frozenset[tuple[str, int]] = frozenset()
    coordinator: int = 0
    deceived: bool = False
    agreement: bool = True
    apart: bool = False
    delayed: float = 0.0
    maskable: bool = False
    lasting: bool = False


@dataclass(frozen=True)
class Forecast:
    """What a case must lead to.

    Attributes:
        expectations: one an operation and group; without collectives each rank is a group.
        unreachable: (text of the fault, rank) of faults that strike no call of the fault-free course.
    """

    expectations: tuple[Expectation, ...]
    unreachable: frozenset[tuple[str, int]]


def forecast(bound: BoundPlan, trace: Trace, *, timeout: float = DEFAULT_TIMEOUT) -> Forecast:
    """Says what a plan must lead to.

    Args:
        bound: the plan, bound to the world.
        trace: the course of the case without faults.
        timeout: seconds that a collective waits for late ranks.
    """
    model = _Model(bound, trace, timeout)
    expectations = [
        model.of(operation, group) for operation, seen in trace.moments.items() for group in bound.groups if not seen.keys().isdisjoint(group.ranks)
    ]
    return Forecast(tuple(expectations), frozenset(_unreachable(bound, trace)))


def _unreachable(bound: BoundPlan, trace: Trace) -> list[tuple[str, int]]:
    found = []
    for one in bound.faults:
        fault = one.fault
        for rank in one.ranks:
            calls = {name: trace.calls(name, rank, fault.site, fault.glob) for name in trace.moments}
            if fault.operation is None:
                reachable = sum(calls.values()) >= fault.nth
            else:
                reachable = any(count >= fault.nth for name, count in calls.items() if fault.operation.matches(name))
            if not reachable:
                found.append((str(fault), rank))
    return found


def _error_of(effect: Effect, site: str, rank: int) -> ErrorRecord | None:
    """What an effect raises, if anything."""
    if isinstance(effect, (Raise, FailFuture)):
        return ErrorRecord.of(zoo.injected(effect.error, site, rank))
    if isinstance(effect, (DiskError, NoSpace)):
        return ErrorRecord.of(zoo.of_system("ENOSPC" if isinstance(effect, NoSpace) else effect.errno))
    if isinstance(effect, _REFUSALS) or (isinstance(effect, Hang) and SITES[site].layer == "network"):
        return SOME_ERROR  # clients do not wait for ever
    return None


@dataclass
class _Part:
    """What the faults of one stretch of an operation do, over some ranks.

    Attributes:
        raised: rank -> the error that ends it there.
        stalled: what makes its rank wait for ever, or end.
        unclear: what has no certain consequence.
        fired: (text of the fault, rank).
        late: rank -> seconds.
        delays: what made them late.
        lost_in_exchange: whether a collective is struck, which may or may not have told the others.
        answered: whether a call fails in another way than it does when nothing is wrong: that may be taken for the same answer.
    """

    raised: dict[int, Acting] = field(default_factory=dict)
    stalled: list[Acting] = field(default_factory=list)
    unclear: list[Acting] = field(default_factory=list)
    fired: set[tuple[str, int]] = field(default_factory=set)
    late: Counter[int] = field(default_factory=Counter)
    delays: list[Acting] = field(default_factory=list)
    lost_in_exchange: bool = False
    answered: bool = False

    def add(self, other: _Part) -> None:
        """Takes what another stretch does as well."""
        self.raised |= other.raised
        self.stalled += other.stalled
        self.unclear += other.unclear
        self.fired |= other.fired
        self.late.update(other.late)
        self.delays += other.delays
        self.lost_in_exchange |= other.lost_in_exchange
        self.answered |= other.answered


class _Model:
    def __init__(self, bound: BoundPlan, trace: Trace, timeout: float) -> None:
        self._bound, self._trace, self._timeout = bound, trace, timeout
        self._within: dict[int, str] = {}
        self._calls: Counter[tuple[object, ...]] = Counter()
        self._counted: dict[tuple[str, int, str, int], dict[str, tuple[int, int]]] = {}
        self._delayed = 0.0

    def of(self, operation: str, group: Group) -> Expectation:
        """An operation of one group."""
        self._delayed, self._group = 0.0, group
        ranks = tuple(rank for rank in group.ranks if rank in self._trace.moments[operation])
        together = self._bound.protocol.collectives or len(ranks) == 1
        ended = self._ended(operation, ranks) if together else replace(self._ended_apart(operation, ranks), agreement=False, apart=True)
        return replace(ended, coordinator=group.coordinator, delayed=self._delayed)

    def _ended_apart(self, operation: str, ranks: tuple[int, ...]) -> Expectation:
        """Each rank goes its own way; only at the end do they wait for each other."""
        everything, going = _Part(), set(ranks)
        for index, _ in enumerate(self._parts(operation, ranks)):
            part = self._walk(operation, tuple(rank for rank in ranks if rank in going), index)
            everything.add(part)
            going -= part.raised.keys() | {one.rank for one in (*part.stalled, *part.unclear)}
        decided = self._decide(operation, ranks, "", everything, everything.late, everything.fired)
        return decided or Expectation(operation, ranks, Ending.SUCCEEDS, must_fire=frozenset(everything.fired))

    def _ended(self, operation: str, ranks: tuple[int, ...]) -> Expectation:
        course = self._bound.protocol.operations[cast(OperationKind, operation.partition("[")[0])]
        fired: set[tuple[str, int]] = set()
        late: Counter[int] = Counter()
        for index, (step, members) in enumerate(self._parts(operation, ranks)):
            part = self._walk(operation, members, index)
            fired |= part.fired
            late.update(part.late)
            guarded = 0 < index <= 2 * len(course.steps)
            if index == self._last(operation):
                late.clear()  # behind the last collective nobody waits for anybody
                if part.stalled:  # ... and nobody can be told
                    return self._unclear(operation, ranks, tuple(part.stalled), fired)
            # Ahead of the first collective a rank that is not late yet may still become so.
            decided = self._decide(operation, ranks, step if guarded else "", part, late if guarded else Counter(), fired)
            if decided is not None:
                return decided
            if guarded:
                late.clear()  # the collective behind each part waits for whoever was late in it
        return Expectation(operation, ranks, Ending.SUCCEEDS, must_fire=frozenset(fired))

    def _parts(self, operation: str, ranks: tuple[int, ...]) -> list[tuple[str, tuple[int, ...]]]:
        """The stretches of an operation: before, then map and reduce of each step, then after; each with those who take part."""
        course = self._bound.protocol.operations[cast(OperationKind, operation.partition("[")[0])]
        reducers = (self._group.coordinator,) if self._bound.protocol.collectives else ranks
        guarded = [(step.name, members) for step in course.steps for members in (ranks, reducers)]
        return [("", ranks), *guarded, ("", ranks)]

    def _part_of(self, operation: str, moment: Moment, current: int) -> int:
        """Index of the stretch that a moment belongs to. A collective belongs to whatever is going on."""
        course = self._bound.protocol.operations[cast(OperationKind, operation.partition("[")[0])]
        for index, step in enumerate(course.steps):
            if moment.site in step.map:
                return 1 + 2 * index
            if moment.site in step.reduce:
                return 2 + 2 * index
        if moment.site in course.before and current == 0:
            return 0
        encloses = moment.site in course.before and moment.after  # it began ahead of the steps, and ends behind them
        return self._last(operation) if moment.site in course.after or encloses else current

    def _last(self, operation: str) -> int:
        """Index of the stretch behind the steps, and beside them: nobody waits for what is done in it."""
        return 1 + 2 * len(self._bound.protocol.operations[cast(OperationKind, operation.partition("[")[0])].steps)

    def _walk(self, operation: str, ranks: tuple[int, ...], wanted: int) -> _Part:
        """Follows each rank through one stretch until a fault ends it there."""
        part, last = _Part(), self._last(operation)
        for rank in ranks:
            current = 0
            for moment in self._trace.moments[operation].get(rank, ()):
                at = self._part_of(operation, moment, current)
                if at != last:
                    current = max(current, at)
                elif wanted != last:
                    continue  # what holds nobody up may come at any time
                if current > wanted:
                    break
                if not (moment.after or SITES[moment.site].layer != "calls" or moment.site.startswith("pg.")):
                    self._within[rank] = NESTED.get(moment.site, moment.site)
                if wanted == (last if at == last else current) and not self._pass(operation, rank, moment, part):
                    break
        self._delayed += max(part.late.values(), default=0)  # the next stretch waits for the latest of this one
        return part

    def _striking(self, operation: str, rank: int, moment: Moment) -> BoundFault | None:
        """Counts a moment, and finds the fault that strikes it, if any."""
        patterns = self._bound.patterns(moment.site, moment.file)
        # A call that goes on while others of its site are made is looked up again by what it was counted as.
        call = (operation, rank, moment.site, moment.nth)
        if not moment.after:
            for pattern in patterns:
                self._calls.update(((rank, moment.site, pattern), (operation, rank, moment.site, pattern)))
            self._counted[call] = {
                pattern: (self._calls[rank, moment.site, pattern], self._calls[operation, rank, moment.site, pattern]) for pattern in patterns
            }
        struck = self._bound.find(moment.site, rank, operation, self._counted.get(call, {"": (moment.nth, moment.nth)}))
        if struck is None:
            return None
        # A wrong result takes a call that returns: what fails within it leaves none to be wrong.
        at_the_end = struck.fault.after or (isinstance(struck.fault.effect, WrongResult) and not struck.fault.at.is_future)
        return struck if at_the_end == moment.after else None

    def _pass(self, operation: str, rank: int, moment: Moment, part: _Part) -> bool:
        """Applies the fault that strikes a moment, if any; False if the rank gets no further."""
        struck = self._striking(operation, rank, moment)
        if struck is None:
            return True
        effect = struck.fault.effect
        acting = Acting(struck, rank, within=self._within.get(rank, "") if SITES[moment.site].layer != "calls" else "")
        if not any(one.rank == rank for one in part.unclear):  # behind a wrong result the engine may not get as far as another fault
            part.fired.add((str(struck.fault), rank))
        if SITES[moment.site].layer == "network" and isinstance(effect, (Delay, Throttle)):
            part.answered = True  # in real time: whether the client's own patience ends, it knows
            return True
        if isinstance(effect, Delay) or (isinstance(effect, Stop) and math.isfinite(effect.seconds)):
            part.late[rank] += cast(int, effect.seconds)  # Counter sums floats as well
            part.delays.append(acting)
            return True
        if moment.site.startswith("pg."):
            certain = not moment.after and (moment.site not in ("pg.broadcast", "pg.scatter") or rank == self._group.coordinator)
            part.lost_in_exchange = True
            (part.stalled if certain else part.unclear).append(acting)
            return False
        if isinstance(effect, (Raise, DiskError, *_REFUSALS)) and moment.fails:
            part.answered = True
            return True
        record = _error_of(effect, moment.site, rank)
        if record is not None:
            part.raised[rank] = replace(acting, error=record)
            return False
        if isinstance(effect, (Hang, Kill, Stop, Exit, NeverComplete)):
            part.stalled.append(acting)
            return False
        part.unclear.append(acting)
        return True

    def _decide(
        self, operation: str, ranks: tuple[int, ...], step: str, part: _Part, late: Counter[int], fired: set[tuple[str, int]]
    ) -> Expectation | None:
        """The outcome, if this stretch ends the operation."""
        fires = frozenset(fired)
        if part.unclear or part.answered:
            decisive = (*part.unclear, *part.raised.values(), *part.stalled)
            agreement = not (part.lost_in_exchange or part.stalled or self._may_lose_a_rank())
            deceived = any(isinstance(one.bound.fault.effect, DECEPTIONS) for one in part.unclear)
            return Expectation(operation, ranks, Ending.UNDETERMINED, step, {}, decisive, fires, deceived=deceived, agreement=agreement)
        skew = max((late[rank] for rank in ranks), default=0) - min((late[rank] for rank in ranks), default=0)
        if part.stalled or skew > self._timeout * (1 + _NEAR):
            return Expectation(operation, ranks, Ending.STALLS, step, {}, (*part.stalled, *part.delays), fires)
        if skew > self._timeout * (1 - _NEAR):
            return self._unclear(operation, ranks, tuple(part.delays), fired)
        if part.raised and not step and self._bound.protocol.collectives and self._may_lose_a_rank():
            # Nothing holds the others back here, so a fault behind the first step may take a rank that is owed the news.
            return self._unclear(operation, ranks, tuple(part.raised.values()), fired)
        if part.raised:
            if self._may_be_made_good(part.raised.values()):
                # Then others may decide, or nobody.
                lost = self._may_lose_a_rank()
                return Expectation(operation, ranks, Ending.UNDETERMINED, step, {}, tuple(part.raised.values()), fires, agreement=not lost)
            failures = {self._group.within(rank): acting.error for rank, acting in part.raised.items() if acting.error is not None}
            maskable = all(acting.bound.fault.at.layer != "calls" for acting in part.raised.values())
            lasting = any(one.bound.fault.at.layer == "network" and one.bound.fault.times != 1 for one in part.raised.values())
            failing = Expectation(operation, ranks, Ending.FAILS, step, dict(sorted(failures.items())), tuple(part.raised.values()), fires)
            return replace(failing, maskable=maskable, lasting=lasting)
        return None

    def _may_be_made_good(self, raised: Iterable[Acting]) -> bool:
        """Whether an engine may go on after these errors and meet another fault: what a disk or a store refuses it may try again, or do without."""
        deciding = list(raised)
        others = sum(len(one.ranks) for one in self._bound.faults) > len(deciding)
        return others and any(one.bound.fault.at.layer != "calls" for one in deciding)

    def _may_lose_a_rank(self) -> bool:
        """Whether any fault of the plan could stall another rank of the group, where nobody can say which are still reached."""
        if len(self._group.ranks) == 1:
            return False
        faults = [one for one in self._bound.faults if not one.ranks.isdisjoint(self._group.ranks)]
        slow = sum(one.fault.effect.seconds for one in faults if isinstance(one.fault.effect, Delay))
        lost = any(isinstance(one.fault.effect, (Hang, Kill, NeverComplete)) and one.fault.at.layer != "network" for one in faults)
        return lost or slow > self._timeout * (1 - _NEAR) or any(one.fault.at.side == "pg" for one in faults)

    def _unclear(self, operation: str, ranks: tuple[int, ...], decisive: tuple[Acting, ...], fired: set[tuple[str, int]]) -> Expectation:
        """Either outcome is right, on each rank for itself."""
        return Expectation(operation, ranks, Ending.UNDETERMINED, "", {}, decisive, frozenset(fired), agreement=False)
