"""What a search has tried: each pair of consecutive operations, with the class of the fault that struck the first of both.

Most bugs in the life of a job need an operation that went wrong and the operation that came next. Longer sequences are not counted.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator
from typing import NamedTuple

from ckpt_harness.jobs.fault_classes import FATAL, FAULT_CLASSES, NO_FAULT, class_of
from ckpt_harness.jobs.job import Job
from ckpt_harness.jobs.operations import OPERATIONS, AsyncSave, Continue, Operation, Restart, Save, Wait

OVERWRITE = "overwrite"
"""The step of a save onto a place that was used before. For other operations, the step is the first word of their text."""

STEPS: tuple[str, ...] = ("save", OVERWRITE, *(word for word in OPERATIONS if word != "save"))
"""All steps."""

_CALLS = frozenset({"save", OVERWRITE, "async", "load", "retry"})
_STRUCK = _CALLS | {"wait", "continue"}
"""Steps that a fault may strike. The faults of a wait are those of the async saves that end there, and those of a continue are those of the step before."""


class Pair(NamedTuple):
    """Two consecutive operations of a job.

    Attributes:
        first: step of the first operation; see :data:`STEPS`.
        second: step of the second operation.
        fault: class of a fault that struck the first operation, or ``none``.
    """

    first: str
    second: str
    fault: str


def steps(job: Job) -> tuple[str, ...]:
    """Returns the step of each operation.

    Example:
        >>> steps(Job.parse("save a; save a; restart; load a"))
        ('save', 'overwrite', 'restart', 'load')
    """
    used: set[str] = set()
    found = []
    for operation in job.operations:
        found.append(step(operation, used))
        if isinstance(operation, (Save, AsyncSave)):
            used.add(operation.place)
    return tuple(found)


def step(operation: Operation, used: Collection[str]) -> str:
    """Returns the step of an operation.

    Args:
        operation: the operation.
        used: the places to which the job has saved before.
    """
    return OVERWRITE if isinstance(operation, Save) and operation.place in used else operation.word


def pairs(job: Job, fired: Collection[str] | None = None) -> set[Pair]:
    """Returns the pairs that a job tries.

    Args:
        job: the job.
        fired: texts of the faults that fired; None for all faults of the job.

    Example:
        >>> job = Job.parse("save a; load a", faults="save[1]/writer.finish@0=raise")
        >>> pairs(job), pairs(job, fired=[])
        ({Pair(first='save', second='load', fault='error')}, {Pair(first='save', second='load', fault='none')})
    """
    names = steps(job)
    classes = _classes(job, fired)
    return {Pair(names[index], names[index + 1], fault) for index in range(len(names) - 1) for fault in classes[index]}


def _classes(job: Job, fired: Collection[str] | None) -> list[set[str]]:
    """The classes of the faults that strike each operation."""
    struck = [fault for fault in job.faults if fault.operation is not None and (fired is None or str(fault) in fired)]
    found: list[set[str]] = []
    under_way: dict[str, set[str]] = {}
    for index, operation in enumerate(job.repeated):
        here = {class_of(fault) for fault in struck if fault.operation is not None and fault.operation.matches(job.calls[index])}
        if isinstance(operation, AsyncSave):
            under_way.setdefault(operation.place, set()).update(here)
        elif isinstance(operation, Wait):
            for place in [operation.place] if operation.place else list(under_way):
                here |= under_way.pop(place, set())
        elif isinstance(operation, Restart):
            under_way.clear()
        elif isinstance(operation, Continue) and found:
            here |= found[-1] - {NO_FAULT}
        found.append(here or {NO_FAULT})
    return found


def is_possible(first: str, second: str, fault: str = NO_FAULT) -> bool:
    """Whether two operations can follow each other.

    Args:
        first: step of the first operation.
        second: step of the second operation.
        fault: class of the fault that strikes the first operation.

    Example:
        >>> is_possible("restart", "save"), is_possible("restart", "retry"), is_possible("continue", "heal")
        (True, False, False)
        >>> is_possible("save", "load", "death"), is_possible("save", "restart", "death")
        (False, True)
    """
    if fault != NO_FAULT and first not in _STRUCK:
        return False
    if fault in FATAL and second != "restart" and not _survives(first, second, fault):
        return False
    if "continue" in (first, second):
        return first != second and {first, second} - {"continue"} <= _CALLS | {"wait"}
    if (first, second) == ("async", "retry"):
        return False  # the place is still in use
    if first == second and first not in _STRUCK:
        return False  # the second changes nothing
    return first != "restart" or second not in ("wait", "retry")


def _survives(first: str, second: str, fault: str) -> bool:
    """Whether a job can go on without a restart although ranks hang or are dead: while an async save hangs in the background, its ranks go on."""
    if fault == "stall":
        return first in ("async", "retry", "continue")
    return first in ("async", "retry") and second == "wait"


class Coverage:
    """The pairs that a search has tried, of those that are possible.

    Args:
        steps: the steps that the search draws.
        classes: the classes of faults that it draws.
    """

    def __init__(self, steps: Collection[str] = STEPS, classes: Collection[str] = FAULT_CLASSES) -> None:
        self._steps = tuple(name for name in STEPS if name in steps)
        self._classes = tuple(name for name in FAULT_CLASSES if name in classes)
        self.possible = frozenset(self._all())
        self.tried: Counter[Pair] = Counter()

    def _all(self) -> Iterator[Pair]:
        for first in self._steps:
            for second in self._steps:
                yield from (Pair(first, second, fault) for fault in (NO_FAULT, *self._classes) if is_possible(first, second, fault))

    def add(self, tried: Collection[Pair]) -> None:
        """Counts the pairs of a job."""
        self.tried.update(tried)

    @property
    def share(self) -> tuple[int, int]:
        """How many of the possible pairs were tried, and how many there are."""
        return len(self.possible & self.tried.keys()), len(self.possible)

    def untried(self) -> list[Pair]:
        """The possible pairs that were never tried, in the order of :data:`STEPS`."""
        return sorted(self.possible - self.tried.keys(), key=self._turn)

    def _turn(self, pair: Pair) -> tuple[int, int, int]:
        classes = (NO_FAULT, *FAULT_CLASSES)
        return STEPS.index(pair.first), STEPS.index(pair.second), classes.index(pair.fault)

    def square(self, first: str, second: str) -> tuple[int, int]:
        """How many classes of faults, none among them, were tried between two steps, and how many are possible there."""
        here = [pair for pair in self.possible if pair[:2] == (first, second)]
        return sum(pair in self.tried for pair in here), len(here)

    @property
    def steps(self) -> tuple[str, ...]:
        """The steps that the search draws."""
        return self._steps
