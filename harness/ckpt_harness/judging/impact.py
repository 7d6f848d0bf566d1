"""What the faults of one section of an operation do to the ranks that come there: who fails, who hangs, and who comes late."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field, replace
from typing import cast

from ckpt_harness.faults import error_specs
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
from ckpt_harness.faults.sites import SITES
from ckpt_harness.history import SOME_ERROR, ErrorRecord
from ckpt_harness.judging.expectation import Acting
from ckpt_harness.judging.trace import Moment

Call = tuple[str, int, bool]
"""What identifies a moment within an operation of one rank: site, number of the call, and whether the call has acted."""
_REFUSALS = (Status, Reset, CutBody)
"""Effects by which a store, or the way to it, refuses a request. Only the store's client knows which error becomes of them."""

SENT_BY_THE_COORDINATOR = ("pg.broadcast", "pg.scatter")
"""Collectives in which the coordinator sends and the other ranks receive."""

_GENERATORS = ("fs.create_stream",)
"""Sites whose calls are generators by their contract, here a context manager made of one. Out of a generator Python lets no StopIteration (PEP 479)."""


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
    late: dict[Call | None, Counter[int]] = field(default_factory=dict)
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

    def delay(self, acting: Acting, seconds: float, collective: Call | None) -> None:
        """A fault makes its rank late for a collective."""
        self.late[collective][acting.rank] += cast(int, seconds)  # a Counter sums floats as well
        self.delays.append(acting)

    def late_in_all(self) -> Counter[int]:
        """By how many seconds the delays of the section make each rank late, all together."""
        return sum(self.late.values(), Counter())


def only_delays(acting: Acting) -> bool:
    """Whether a fault makes its rank late, and does nothing else. On the way to a store a delay takes real time."""
    effect = acting.bound.fault.effect
    return (isinstance(effect, Delay) and acting.bound.fault.at.layer != "network") or (isinstance(effect, Stop) and math.isfinite(effect.seconds))


def seconds_late(acting: Acting) -> float:
    """By how many seconds a fault makes its rank late."""
    effect = acting.bound.fault.effect
    assert isinstance(effect, (Delay, Stop)), f"{acting.bound.fault} delays nothing"
    return effect.seconds


def is_collective(moment: Moment) -> bool:
    """Whether a moment belongs to a call of a collective."""
    return moment.site.startswith("pg.")


def apply(acting: Acting, moment: Moment, impact: Impact, coordinator: int) -> bool:
    """Adds to ``impact`` what a fault does at a moment; False if its rank gets no further."""
    effect = acting.bound.fault.effect
    if SITES[moment.site].layer == "network" and isinstance(effect, (Delay, Throttle)):
        impact.answered = True  # these take real time, and only the store's client knows how long it waits
        return True
    if is_collective(moment):
        sends_nothing = not moment.after and (moment.site not in SENT_BY_THE_COORDINATOR or acting.rank == coordinator)
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
