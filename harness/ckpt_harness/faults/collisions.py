"""Finds two faults of a plan that may strike the same call.

Comparing all pairs takes seconds for a plan of 3,000 faults. Here each fault is looked up among the faults before it, so that the work grows with the number
of faults.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Sequence
from typing import Final, Literal, NamedTuple

from ckpt_harness.faults.fault import Fault

Struck = Collection[int | str] | Literal["all"]
"""The ranks that a fault strikes: numbers, a word for ranks that are not known yet, or ``all``, which shares a rank with every other fault."""

_ANY: Final = object()
"""In a key: a value that is not compared. Every fault is noted under it, for faults that meet all values."""

_Key = tuple[object, ...]


class Collision(NamedTuple):
    """Two faults that may strike the same call: their positions in the plan, the first fault first."""

    first: int
    second: int


class _Noted(NamedTuple):
    """What is known of the faults that were noted under a key: the fault whose last call comes latest.

    Attributes:
        end: number of the first call after those that the fault strikes.
        position: the position of the fault in the plan.
    """

    end: float
    position: int


def find_collision(faults: Sequence[Fault], struck: Sequence[Struck]) -> Collision | None:
    """Two faults that may strike the same call, or None. :meth:`ckpt_harness.faults.fault.Fault.overlaps` says when two faults do.

    Args:
        faults: the faults of a plan.
        struck: the ranks that each of them strikes.

    Example:
        >>> from ckpt_harness.faults.effects import Hang, Raise
        >>> faults = [Fault("writer.finish", (0,), Raise()), Fault("fs.write", (0,), Hang()), Fault("writer.finish", (0,), Hang())]
        >>> find_collision(faults, [fault.ranks for fault in faults])
        Collision(first=0, second=2)
    """
    noted: dict[_Key, _Noted] = {}
    # In the order of their first calls: two faults then collide exactly if the later one begins before the earlier one ends.
    for position in sorted(range(len(faults)), key=lambda position: faults[position].nth):
        fault = faults[position]
        for key in _keys_to_look_up(fault, struck[position]):
            earlier = noted.get(key)
            if earlier is not None and fault.nth < earlier.end:
                return Collision(*sorted((position, earlier.position)))
        for key, end in _keys_to_note(fault, struck[position]):
            if key not in noted or end > noted[key].end:
                noted[key] = _Noted(end, position)
    return None


def _keys_to_look_up(fault: Fault, struck: Struck) -> Iterator[_Key]:
    """The keys of all faults that a fault can collide with."""
    ranks = [name for rank in _ranks(struck) for name in _names_to_meet(rank)]
    for rank, glob in itertools.product(dict.fromkeys(ranks), _names_to_meet(fault.glob)):
        where = (fault.site, rank, glob)
        operation = fault.operation
        if operation is None:
            yield (*where, "counted over the case")
            yield (*where, "any operation")
        else:
            yield from ((*where, operation.kind, index) for index in _names_to_meet(operation.index))
            yield (*where, "any count over the case")


def _keys_to_note(fault: Fault, struck: Struck) -> Iterator[tuple[_Key, float]]:
    """The keys under which a fault is found, each with the number of the first call after those that the fault strikes.

    Of two faults, one may count calls over the case and the other within its operation. These two always collide, since nobody knows before the run which
    calls they strike. So each has a key for the other, under which its calls never end.
    """
    end = math.inf if fault.times is None else fault.nth + fault.times
    ranks = [name for rank in _ranks(struck) for name in (rank, _ANY)]
    for rank, glob in itertools.product(dict.fromkeys(ranks), (fault.glob, _ANY)):
        where = (fault.site, rank, glob)
        if fault.operation is None:
            yield (*where, "counted over the case"), end
            yield (*where, "any count over the case"), math.inf
        else:
            yield from (((*where, fault.operation.kind, index), end) for index in (fault.operation.index, _ANY))
            yield (*where, "any operation"), math.inf


def _names_to_meet(value: object) -> tuple[object, ...]:
    """The names under which a fault notes values that meet ``value``. None stands for all files, numbers or ranks, and meets every value."""
    return (_ANY,) if value is None else (value, None)


def _ranks(struck: Struck) -> Collection[int | str | None]:
    """The ranks that a fault strikes; None stands for all ranks."""
    if isinstance(struck, str):
        return (None if struck == "all" else struck,)
    return struck
