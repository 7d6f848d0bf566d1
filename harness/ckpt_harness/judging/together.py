"""What the operations of one case do to each other: two async saves that are under way at once share their ranks.

A rank that dies in one save is lost to the other, and a rank whose own thread hangs in the call of one save neither begins the other nor waits for its
future. Uploads run on threads of their own: a hang there delays no other save.

Not modelled: whether the other save had ended by then. Success and failure are both right.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace

from ckpt_harness.faults.bound_plan import BoundPlan
from ckpt_harness.faults.effects import Delay, Effect, Exit, Hang, Kill, NeverComplete, Stop
from ckpt_harness.faults.fault import Fault
from ckpt_harness.faults.sites import SITES
from ckpt_harness.judging.expectation import Acting, Ending, Expectation
from ckpt_harness.judging.firings import NO_FIRINGS, Firings

_IN_THE_CALL = frozenset({"state.state_dict", "writer.stage", "stager.stage", "writer.synchronize_staging", "stager.synchronize_staging"})
"""Sites of an async save that its caller's thread may call, before it has the future."""

_STAGED = "stager.stage.future"
"""The site where the engine waits for the end of staging: on a thread of the stager's or, if the staging has ended by then, on the caller's thread."""


def beside(bound: BoundPlan, owed: Expectation, others: Sequence[Expectation], latest: float, firings: Firings = NO_FIRINGS) -> Expectation:
    """Adds to an expectation what faults in other operations of the case do to the ranks of the operation.

    Args:
        bound: the plan.
        owed: what the operation must lead to by itself.
        others: what the other operations must lead to by themselves.
        latest: seconds that a rank may certainly come late.
        firings: where faults without an operation have fired.

    Returns:
        The expectation; undetermined, with no fault that must fire, if another operation may lose a rank of this one.

    Example:
        >>> from ckpt_harness.faults.plan import FaultPlan
        >>> bound = FaultPlan.parse("async_save[1]/writer.finish@0=kill").bind(2)
        >>> first, second = (Expectation(f"async_save[{number}]", (0, 1), Ending.SUCCEEDS) for number in (1, 2))
        >>> beside(bound, second, [first], 1800.0).ending.name
        'UNDETERMINED'
    """
    late: Counter[int] = Counter()
    losing = list[Acting]()
    for acting in _from_others(bound, owed, others, firings):
        late[acting.rank] += math.ceil(_seconds(acting.bound.fault))
        if _loses_its_rank(acting.bound.fault):
            losing.append(acting)
    delayed = max(late.values(), default=0)
    if losing or delayed >= latest:
        owed = replace(owed.open_ended(), elsewhere=tuple(losing))
    return replace(owed, delayed=owed.delayed + delayed)


def behind_a_timeout(owed: Expectation, others: Sequence[Expectation], latest: float) -> Expectation:
    """Adds to an expectation what the timeout of another operation does: it closes the connections that the operations may share.

    An operation that is not late has ended by then.

    Args:
        owed: what the operation must lead to.
        others: what the other operations must lead to.
        latest: seconds that a rank may certainly come late.

    Returns:
        The expectation; undetermined if the operation itself goes on after the group's timeout, and another may have met the timeout.
    """
    timed_out = any(other.ending in (Ending.STALLS, Ending.UNDETERMINED) and other.delayed >= latest for other in others if other.ranks == owed.ranks)
    return owed.open_ended() if timed_out and owed.delayed >= latest else owed


def _from_others(bound: BoundPlan, owed: Expectation, others: Sequence[Expectation], firings: Firings) -> Iterator[Acting]:
    """The faults that may strike ranks of an operation in another operation; with the storage call that they strike, where the model has followed them."""
    operations = {other.operation for other in others}
    followed = {(acting.bound.fault, acting.rank): acting for other in others for acting in other.decisive}
    for struck in bound.faults:
        for rank in struck.ranks.intersection(owed.ranks):
            if firings.may_strike(struck.fault, rank, operations):
                yield followed.get((struck.fault, rank), Acting(struck, rank))


def _loses_its_rank(fault: Fault) -> bool:
    """Whether nobody on the rank goes on: the process ends or stops, or the thread hangs that makes all calls."""
    if isinstance(fault.effect, (Kill, Exit)) or _stops_for_good(fault.effect):
        return True
    if fault.site == _STAGED:
        return isinstance(fault.effect, Hang)  # a future that never completes keeps no thread
    stalls = isinstance(fault.effect, (Hang, NeverComplete)) and SITES[fault.site].layer != "network"
    return stalls and (fault.site in _IN_THE_CALL or fault.at.side == "executor")


def _stops_for_good(effect: Effect) -> bool:
    return isinstance(effect, Stop) and math.isinf(effect.seconds)


def _seconds(fault: Fault) -> float:
    """How long a fault keeps the rank from other operations."""
    if isinstance(fault.effect, Stop) and math.isfinite(fault.effect.seconds):
        return fault.effect.seconds
    return fault.effect.seconds if isinstance(fault.effect, Delay) and fault.site in (*_IN_THE_CALL, _STAGED) else 0.0
