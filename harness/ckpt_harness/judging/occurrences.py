"""Counts the calls that ranks make, as plans count them, and finds the fault that strikes a call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ckpt_harness.faults.bound_plan import BoundFault, BoundPlan
from ckpt_harness.faults.effects import WrongResult
from ckpt_harness.faults.fault import Fault
from ckpt_harness.judging.firings import Firings, may_pass_by
from ckpt_harness.judging.trace import Moment

_Counts = Mapping[str, tuple[int, int]]
"""File pattern -> the number of a call among the calls for the pattern's files, in the case and in the operation."""


class Occurrences:
    """The calls of a case, counted in the order in which the model follows them.

    Args:
        bound: the plan, bound to the world.
        firings: where faults without an operation have fired.

    Attributes:
        missed: (text of the fault, rank) of faults that fired nowhere, although the ranks came as far as the call that the fault counts.
    """

    def __init__(self, bound: BoundPlan, firings: Firings) -> None:
        self._bound, self._firings = bound, firings
        self.missed: set[tuple[str, int]] = set()
        self._calls: Counter[tuple[object, ...]] = Counter()
        self._counted: dict[tuple[str, int, str, int], _Counts] = {}

    def fault_at(self, operation: str, rank: int, moment: Moment) -> BoundFault | None:
        """Counts a moment, and finds the fault that strikes there, if any.

        Args:
            operation: such as ``save[1]``.
            rank: the rank that calls.
            moment: the beginning or the end of its call.
        """
        counts = self._counts(operation, rank, moment)
        for struck in self._bound.at(moment.site, rank):
            if self._strikes(struck.fault, operation, rank, moment, counts):
                return struck if _acts_at_the_end(struck.fault) == moment.after else None
        return None

    def _strikes(self, fault: Fault, operation: str, rank: int, moment: Moment, counts: _Counts) -> bool:
        """Whether a fault strikes a call: by its count or, if the count does not say which operation the fault strikes, by where it has fired.

        A fault that should have fired by its count, and fired nowhere, is noted as missed.
        """
        in_case, in_operation = counts.get(fault.glob or "", (0, 0))
        addressed = fault.operation is not None
        is_counted = fault.operation.matches(operation) and fault.strikes(in_operation) if fault.operation else fault.strikes(in_case)
        missed = is_counted and (not addressed or may_pass_by(fault.effect)) and self._firings.missed(fault, rank)
        if missed:
            self.missed.add((str(fault), rank))
        if addressed:
            return is_counted and not missed
        fired_here = self._firings.at(fault, operation, rank, moment.nth)
        return is_counted if fired_here is None else fired_here

    def _counts(self, operation: str, rank: int, moment: Moment) -> _Counts:
        """The numbers of a call.

        A call is counted when it begins. Other calls of its site may begin before it ends, so the numbers are remembered for its end.
        """
        call = (operation, rank, moment.site, moment.nth)
        if not moment.after:
            counts = {}
            for pattern in self._bound.patterns(moment.site, moment.file):
                in_case, in_operation = (rank, moment.site, pattern), (operation, rank, moment.site, pattern)
                self._calls[in_case] += 1
                self._calls[in_operation] += 1
                counts[pattern] = (self._calls[in_case], self._calls[in_operation])
            self._counted[call] = counts
        return self._counted.get(call, {"": (moment.nth, moment.nth)})


def _acts_at_the_end(fault: Fault) -> bool:
    """Whether a fault acts once its call has acted. A wrong result needs a call that returns: a call that fails has no result to be wrong."""
    return fault.after or (isinstance(fault.effect, WrongResult) and not fault.at.is_future)
