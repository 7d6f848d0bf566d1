"""Which fault strikes a call: counts the calls of each site, and compares the counts with the plan.

A call *arrives* when the engine reaches a wrapped method. This module answers one question about an arrival: "does a fault of the plan fire here, now?".
What then happens is decided in :mod:`ckpt_harness.injection.injector`.
"""

from __future__ import annotations

from collections.abc import Collection
from fnmatch import fnmatchcase
from typing import NamedTuple

from ckpt_harness import runtime
from ckpt_harness.faults.effects import Effect
from ckpt_harness.faults.fault import Fault
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.protocol import DCP, Operation
from ckpt_harness.faults.sites import SITES, OperationKind, Site
from ckpt_harness.injection.counts import Counts


class Arrival(NamedTuple):
    """One call of a site, before the call acts.

    Attributes:
        site: the site.
        rank: the calling rank, in the world.
        operation: the operation that the call belongs to, such as ``save[1]``; "" outside of any.
        nth: the number of the call among the rank's calls of the site in this operation, from 1.
        fault: the fault that strikes the call, or None.
    """

    site: Site
    rank: int
    operation: str
    nth: int
    fault: Fault | None

    @property
    def effect_before(self) -> Effect | None:
        """The effect that strikes before the call acts, or None."""
        return None if self.fault is None or self.fault.after else self.fault.effect

    def without_fault(self) -> Arrival:
        """The same call, which no fault strikes."""
        return self._replace(fault=None)


class Firing(NamedTuple):
    """A fault that fired.

    Attributes:
        fault: the text of the fault, as in the plan.
        rank: the rank on which the fault fired.
        operation: the operation, such as ``save[1]``.
        nth: the number of the struck call among the rank's calls of the site in this operation, from 1.
    """

    fault: str
    rank: int
    operation: str
    nth: int


class Arrivals:
    """Counts the calls of a case, and finds the fault that strikes a call.

    Args:
        plan: the faults.
        coordinators: the ranks that coordinate (one rank, unless several groups act at once). Used for a rank until the engine has passed
            ``is_coordinator`` to one of its wrappers.
    """

    def __init__(self, plan: FaultPlan, coordinators: Collection[int] = (0,)) -> None:
        self._plan_is_empty = not plan
        self._by_site: dict[str, list[Fault]] = {}
        for fault in plan:
            self._by_site.setdefault(fault.site, []).append(fault)
        self._coordinators = frozenset(coordinators)
        self._coordinates: dict[int, bool] = {}
        self._counts = Counts()
        self._current: dict[int, str] = {}
        self._under_way: set[tuple[int, str]] = set()
        self._position: dict[tuple[int, str], int] = {}
        self._operations_are_announced = False
        self._healed: set[int] = set()

    # -- ranks

    def learn_role(self, rank: int, is_coordinator: bool) -> None:
        """Notes the role that the engine passed for a rank, so that ``@coordinator`` follows the engine's own choice."""
        self._coordinates[rank] = is_coordinator

    def ranks_with_role(self) -> frozenset[int]:
        """The ranks whose role is known: the ranks of this process that took part in an operation."""
        return frozenset(self._coordinates)

    def heal(self, rank: int) -> None:
        """Ends all faults for a rank: from now on, its calls are only counted."""
        self._healed.add(rank)

    def healed(self, rank: int) -> bool:
        """Whether all faults have ended for a rank."""
        return rank in self._healed

    def addresses(self, fault: Fault, rank: int) -> bool:
        """Whether ``fault`` is addressed to ``rank``, as far as the coordinator is known."""
        if isinstance(fault.ranks, tuple):
            return rank in fault.ranks
        coordinates = self._coordinates.get(rank)
        if coordinates is None:  # the engine has not said yet; a process without a group coordinates its own save, whatever its launcher's number is
            coordinates = rank in self._coordinators or runtime.stands_alone()
        return {"all": True, "coordinator": coordinates, "others": not coordinates}[fault.ranks]

    # -- operations

    def begin(self, rank: int, kind: OperationKind, number: int | None = None) -> str:
        """Starts an operation of a rank, and returns the name of the operation, such as ``save[2]``.

        Args:
            rank: the rank.
            kind: the kind of operation.
            number: its number, where the caller counts over more than these ranks see; None for the rank's next operation of the kind.
        """
        self._operations_are_announced = True
        operation = self._start(rank, kind, number)
        self._under_way.add((rank, operation))
        return operation

    def end(self, rank: int, operation: str) -> None:
        """Ends an operation of a rank."""
        self._under_way.discard((rank, operation))
        self.leave(rank, operation)

    def leave(self, rank: int, operation: str) -> None:
        """Lets a rank go on with something else while an operation of its own is under way in the background."""
        if self._current.get(rank) == operation:
            del self._current[rank]

    def in_operation(self, rank: int) -> bool:
        """Whether a rank is in any operation; True if nobody announces operations, so that nobody can know."""
        if not self._operations_are_announced:
            return True
        under_way = list(self._under_way)  # a copy, since other threads begin and end operations
        return any(its_rank == rank for its_rank, _ in under_way)

    def under_way(self, rank: int, operation: str) -> bool:
        """Whether an announced operation of a rank has not ended."""
        return (rank, operation) in self._under_way

    def current(self, rank: int) -> str:
        """The operation that a rank is in, the latest if there are several; "" outside of any."""
        return self._current.get(rank, "")

    def _start(self, rank: int, kind: str, number: int | None = None) -> str:
        operation = f"{kind}[{self._counts.next(f'{rank} {kind}')[0] if number is None else number}]"
        self._current[rank] = operation
        return operation

    def _operation_of(self, site: Site, rank: int) -> str:
        """The operation that a call belongs to.

        Nobody announces operations to a wrapper that stands alone. There, the order of the calls shows where an operation begins: at a call of a site
        that the engine reaches earlier in an operation than the site of the call before.
        """
        if self._operations_are_announced or self._plan_is_empty:
            return self._current.get(rank, "")
        kind = _KIND.get(site.side)
        if kind is not None and site.name in _ORDER[kind]:
            order = _ORDER[kind]
            position, last = order[site.name], self._position.get((rank, kind), len(order))
            if position < last or (position == last and not site.several):
                self._start(rank, kind)
            self._position[rank, kind] = position
        return self.current(rank)

    # -- calls

    def arrive(self, site_name: str, rank: int, file: str = "", operation: str | None = None) -> Arrival:
        """Counts a call, and finds the fault that strikes the call.

        Args:
            site_name: full name of the site.
            rank: the calling rank.
            file: at sites of files and objects: the name, without directories.
            operation: the operation that the call belongs to, where the caller knows it; None for the rank's current operation.
        """
        site = SITES[site_name]
        if operation is None:
            operation = self._operation_of(site, rank)
        if site_name not in self._by_site:  # most calls: no fault needs a look at their numbers
            _, nth = self._counts.next(f"{rank} {site_name} ", f"{rank} {operation} {site_name} ")
            return Arrival(site, rank, operation, nth, None)
        counts = self._count(site_name, rank, file, operation)
        return Arrival(site, rank, operation, counts[""][1], self._find(site_name, rank, counts, operation))

    def _count(self, site_name: str, rank: int, file: str, operation: str) -> dict[str, tuple[int, int]]:
        """Adds one to the counts of a call.

        Returns:
            File pattern -> the number of the call among the calls that the pattern describes, in the case and in the operation. The pattern ""
            describes all calls; every other pattern is of a fault that is narrowed to some files, and so counts the calls on these files alone.
        """
        patterns = [""]
        for fault in self._by_site[site_name]:
            if fault.glob is not None and fault.glob not in patterns and fnmatchcase(file, fault.glob):
                patterns.append(fault.glob)
        keys = []
        for pattern in patterns:
            keys += [f"{rank} {site_name} {pattern}", f"{rank} {operation} {site_name} {pattern}"]
        numbers = self._counts.next(*keys)
        in_case, in_operation = numbers[::2], numbers[1::2]
        return dict(zip(patterns, zip(in_case, in_operation, strict=True), strict=True))

    def _find(self, site_name: str, rank: int, counts: dict[str, tuple[int, int]], operation: str) -> Fault | None:
        """The first fault of the plan that strikes a call with these counts (see :meth:`_count`), or None."""
        if self.healed(rank):
            return None
        for fault in self._by_site[site_name]:
            in_case, in_operation = counts.get(fault.glob or "", (0, 0))
            nth = in_case if fault.operation is None else in_operation
            addressed = fault.operation is None or fault.operation.matches(operation)
            if addressed and self.addresses(fault, rank) and fault.strikes(nth):
                return fault
        return None

    # -- firings

    def log(self, arrival: Arrival) -> None:
        """Keeps a record that the fault of ``arrival`` fired, also for copies of this object in other processes."""
        self._counts.log(list(Firing(str(arrival.fault), arrival.rank, arrival.operation, arrival.nth)))

    def firings(self) -> tuple[Firing, ...]:
        """The faults that fired so far, in order; also in copies of this object in other processes."""
        return tuple(Firing(*record) for record in self._counts.logged())


_KIND = {"writer": "save", "save_planner": "save", "reader": "load", "load_planner": "load"}
"""Side of a site -> the kind of operation that it belongs to, as far as a wrapper that stands alone can know."""


def _positions(operation: Operation) -> dict[str, int]:
    names = [*operation.before, *(name for step in operation.steps for name in (*step.map, *step.reduce)), *operation.after]
    return {name: position for position, name in enumerate(names) if not name.startswith(("state.", "stager."))}


_ORDER: dict[str, dict[str, int]] = {kind: _positions(operation) for kind, operation in DCP.operations.items()}
"""Kind of operation -> position of each site within the operation."""
