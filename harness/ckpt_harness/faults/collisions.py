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

_SOME: Final = object()
"""In a key: any value at all. Every fault is noted under it, for faults that meet all values."""
_Key = tuple[object, ...]


class Collision(NamedTuple):
    """Two faults that may strike the same call: their positions in the plan, the first fault first."""

    first: int
    second: int


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
    last: dict[_Key, tuple[float, int]] = {}  # key -> where the calls end that a fault noted there strikes, and the number of the fault; the latest end
    for number in sorted(range(len(faults)), key=lambda number: faults[number].nth):
        fault = faults[number]
        for key in _keys_to_look_up(fault, struck[number]):
            end, other = last.get(key, (0, -1))
            if fault.nth < end:  # the other fault begins at the same call or before, since faults are taken in the order of their first call
                return Collision(*sorted((number, other)))
        for key, end in _keys_to_note(fault, struck[number]):
            if end > last.get(key, (0, -1))[0]:
                last[key] = (end, number)
    return None


def _keys_to_look_up(fault: Fault, struck: Struck) -> Iterator[_Key]:
    """The keys of all faults that a fault can collide with."""
    globs = _met(fault.glob)
    ranks = [rank for one in _each(struck) for rank in _met(one)]
    for rank, glob in itertools.product(dict.fromkeys(ranks), globs):
        where = (fault.site, rank, glob)
        operation = fault.operation
        if operation is None:
            yield from ((*where, "counted over the case"), (*where, "any operation"))
        else:
            yield from ((*where, operation.kind, index) for index in _met(operation.index))
            yield (*where, "any count over the case")


def _keys_to_note(fault: Fault, struck: Struck) -> Iterator[tuple[_Key, float]]:
    """The keys under which a fault is found, each with the number of the first call after those that it strikes.

    A fault that counts calls over the case, and a fault that counts them within its operation, collide whatever they count: which calls they strike is not
    known before the run. So for each other, their calls never end.
    """
    end = math.inf if fault.times is None else fault.nth + fault.times
    ranks = [name for rank in _each(struck) for name in (rank, _SOME)]
    for rank, glob in itertools.product(dict.fromkeys(ranks), (fault.glob, _SOME)):
        where = (fault.site, rank, glob)
        if fault.operation is None:
            yield from (((*where, "counted over the case"), end), ((*where, "any count over the case"), math.inf))
        else:
            yield from (((*where, fault.operation.kind, index), end) for index in (fault.operation.index, _SOME))
            yield (*where, "any operation"), math.inf


def _met(value: object) -> tuple[object, ...]:
    """The names under which values are noted that a value meets. None, which stands for all files or numbers, meets every value."""
    return (_SOME,) if value is None else (value, None)


def _each(struck: Struck) -> Collection[int | str | None]:
    """The ranks that a fault strikes, with None for all ranks."""
    if isinstance(struck, str):
        return (None if struck == "all" else struck,)
    return struck
