"""Where did a fault strike that no model can place beforehand?

A fault without an operation counts calls over the whole case. Two saves at once make their calls in an order that the seed decides, so that no model
can say which save makes the counted call. A disk on which some bytes still fit refuses bytes in this call of the storage, in a later call, or in none,
as the sizes of the files decide; and a plan may hold no sharded tensor whose parts could be wrong. The history shows all this.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from ckpt_harness.faults.effects import Effect, NoSpace, WrongResult
from ckpt_harness.faults.fault import Fault
from ckpt_harness.faults.protocol import storage_call
from ckpt_harness.history import History


@dataclass(frozen=True)
class Firings:
    """The calls at which the faults of a case fired.

    Attributes:
        calls: (text of the fault, rank) -> the calls that it struck: operation, and number of the call of the site within the operation. None where
            only the counts of calls say what a fault strikes: the case has not run, or each of its operations follows another.
        within: (text of the fault, rank) -> where the rank was when the fault fired: operation, and call of the storage.

    Example:
        >>> from ckpt_harness.faults.plan import FaultPlan
        >>> [fault] = FaultPlan.parse("writer.finish@0=raise")
        >>> firings = Firings({("writer.finish@0=raise", 0): {("async_save[2]", 1)}})
        >>> [firings.at(fault, save, rank=0, nth=1) for save in ("async_save[1]", "async_save[2]")]
        [False, True]
        >>> NO_FIRINGS.at(fault, "async_save[2]", rank=0, nth=1) is None
        True
    """

    calls: Mapping[tuple[str, int], Collection[tuple[str, int]]] | None = None
    within: Mapping[tuple[str, int], Collection[tuple[str, str]]] = field(default_factory=dict)

    @classmethod
    def of(cls, history: History) -> Firings:
        """Reads from a history where faults fired.

        Args:
            history: what happened in the case.
        """
        calls: dict[tuple[str, int], set[tuple[str, int]]] = {}
        within: dict[tuple[str, int], set[tuple[str, str]]] = {}
        going_on: dict[int, tuple[str, str]] = {}
        for event in history:
            if event.kind == "enter" and (call := storage_call(event.site)):
                going_on[event.rank] = event.operation, call
            elif event.kind == "fault":
                calls.setdefault((event.detail, event.rank), set()).add((event.operation, event.nth))
                within.setdefault((event.detail, event.rank), set()).add(going_on.get(event.rank, (event.operation, "")))
        return cls(calls, within)

    def at(self, fault: Fault, operation: str, rank: int, nth: int) -> bool | None:
        """Whether a fault struck a call; None if only the count of the calls can say.

        Args:
            fault: the fault.
            operation: the operation that makes the call.
            rank: the rank that makes the call.
            nth: the number of the call of the site within the operation.
        """
        return None if self.calls is None else (operation, nth) in self.calls.get((str(fault), rank), ())

    def missed(self, fault: Fault, rank: int) -> bool:
        """Whether the case has run, and a fault fired nowhere on a rank."""
        return self.calls is not None and (str(fault), rank) not in self.calls

    def later(self, fault: Fault, rank: int, operation: str, call: str) -> bool:
        """Whether a fault that strikes a rank within a call of the storage has fired later: the disk took the bytes of this call.

        Args:
            fault: the fault.
            rank: the rank.
            operation: the operation that makes the call.
            call: the call of the storage, such as ``writer.write_data``.
        """
        fired = self.within.get((str(fault), rank), ())
        return bool(fired) and (operation, call) not in fired

    def may_strike(self, fault: Fault, rank: int, operations: Collection[str]) -> bool:
        """Whether a fault may strike a rank in any of some operations, as its address and its firings say.

        Args:
            fault: the fault; the rank is one of those that it is addressed to.
            rank: the rank.
            operations: the names of the operations.

        Example:
            >>> from ckpt_harness.faults.plan import FaultPlan
            >>> addressed, anywhere = FaultPlan.parse("save[2]/writer.finish@0=raise; writer.reset@0=raise")
            >>> Firings().may_strike(addressed, 0, ["save[1]"]), Firings().may_strike(anywhere, 0, ["save[1]"])
            (False, True)
        """
        if fault.operation is not None:
            return any(fault.operation.matches(operation) for operation in operations)
        if self.calls is None:
            return bool(operations)
        return any(operation in operations for operation, _ in self.calls.get((str(fault), rank), ()))


NO_FIRINGS = Firings()
"""Only the counts of calls say what a fault strikes."""


def may_pass_by(effect: Effect) -> bool:
    """Whether an effect may find nothing to act on at its call: no bytes that do not fit, or no parts of a sharded tensor.

    Args:
        effect: the effect of a fault.

    Example:
        >>> may_pass_by(NoSpace(4096)), may_pass_by(NoSpace()), may_pass_by(WrongResult("gap")), may_pass_by(WrongResult())
        (True, False, True, False)
    """
    if isinstance(effect, WrongResult):
        return effect.about_parts
    return isinstance(effect, NoSpace) and effect.after_bytes > 0
