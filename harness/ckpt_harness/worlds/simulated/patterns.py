"""Communication patterns: which ranks have arrived at a collective, and which of them can finish."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ckpt_harness.worlds.simulated.tasks import Task

if TYPE_CHECKING:
    from ckpt_harness.worlds.simulated.collectives import GroupState


class Operation(NamedTuple):
    """The properties of a collective that must be equal on all ranks.

    Attributes:
        name: such as ``all_gather``.
        root: rank in the group, or None.
        unit: element type and count that each pair of ranks exchanges; None if they may differ.
    """

    name: str
    root: int | None = None
    unit: tuple[Any, ...] | None = None

    def differs_as(self, other: Operation) -> str:
        """Returns the name of ``other``, with the property in which it differs."""
        if self.name != other.name:
            return other.name
        if self.root != other.root:
            return f"{other.name} with root {other.root}"
        return f"{other.name} of {other.unit[1] if other.unit else '?'} x {other.unit[0] if other.unit else '?'}"


class Call:
    """A rank's call of a collective.

    Attributes:
        rank: rank in the group.
        operation: the operation that the rank called.
        inputs: the tensors that it sends.
        outputs: the tensors that it receives into.
        began: when the call began, in virtual seconds.
        done: whether the call has ended; ``error`` is set if it failed.
        against: if the call does not match those of other ranks, what they called.
        source: for a receive, the rank in the group that sent.
    """

    __slots__ = ("against", "began", "done", "error", "inputs", "listeners", "operation", "outputs", "rank", "slot", "source", "waiters")

    def __init__(self, rank: int, operation: Operation, inputs: Any, outputs: Any, began: float) -> None:
        self.rank, self.operation, self.inputs, self.outputs, self.began = rank, operation, inputs, outputs, began
        self.done = False
        self.error: Exception | None = None
        self.against = ""
        self.source = -1
        self.slot: Slot | None = None
        self.waiters: list[Task] = []
        self.listeners: list[Callable[[], None]] = []

    def finish(self, error: Exception | None = None) -> None:
        """Ends the call and wakes the tasks that wait for it."""
        if self.done:
            return
        self.done, self.error = True, error
        for task in self.waiters:
            task.scheduler.wake(task)
        for listener in self.listeners:
            listener()
        self.inputs = self.outputs = None

    def fail(self, error: Exception) -> None:
        """Ends the call with an error; it takes no part in the collective, and sends nothing."""
        if self.slot is not None and not self.done:
            self.slot.drop(self)
        self.finish(error)


Move = Callable[[Sequence[Call]], None]
"""Moves data between calls, given in rank order (star, tree and pair: source first)."""


class Slot:
    """A collective of a group: which ranks have arrived, and which can finish. Subclasses are the communication patterns."""

    def __init__(self, state: GroupState, number: int, operation: Operation, move: Move) -> None:
        self.state, self.number, self.operation, self._move = state, number, operation, move
        self.size = len(state.ranks)
        self.calls: dict[int, Call] = {}
        self.mismatched: dict[int, Call] = {}
        self.first = -1

    def arrive(self, call: Call) -> None:
        """Adds a call, and ends all calls that now have what they need."""
        if self.first < 0:
            self.first = call.rank
        self.calls[call.rank] = call
        self._connect(call)
        if len(self.calls) == self.size:
            del self.state.slots[self.number]

    def drop(self, call: Call) -> None:
        """Removes a failed call."""
        self.calls.pop(call.rank, None)

    def _connect(self, call: Call) -> None:
        raise NotImplementedError

    def neighbours(self, rank: int) -> Iterable[int]:
        """The ranks whose closed connections the waiting ``rank`` notices."""
        raise NotImplementedError

    def missing(self, rank: int) -> Iterable[int]:
        """The ranks that ``rank`` waits for and that have not arrived."""
        return (other for other in range(self.size) if other not in self.calls)

    def exchange(self, *calls: Call) -> None:
        """Moves data. A tensor that does not fit fails the ranks concerned, as it would in real processes."""
        try:
            self._move(calls)
        except Exception as error:  # noqa: BLE001  (a tensor may raise any error, which belongs to its rank)
            for call in calls:
                call.finish(error)


class Everybody(Slot):
    """Each rank needs all ranks; connected as a ring."""

    def _connect(self, call: Call) -> None:
        if len(self.calls) == self.size:
            calls = [self.calls[rank] for rank in range(self.size)]
            self.exchange(*calls)
            for arrived in calls:
                arrived.finish()

    def neighbours(self, rank: int) -> Iterable[int]:
        return {(rank - 1) % self.size, (rank + 1) % self.size}


class Dissemination(Everybody):
    """Each rank needs all ranks; messages go to the ranks at distances 1, 2, 4, ..."""

    def neighbours(self, rank: int) -> Iterable[int]:
        distances = [1 << bit for bit in range(max(self.size - 1, 1).bit_length())]
        return {(rank + sign * distance) % self.size for distance in distances if distance < self.size for sign in (-1, 1)}


class Mesh(Everybody):
    """Each rank needs all ranks, and communicates with each directly."""

    def neighbours(self, rank: int) -> Iterable[int]:
        return range(self.size)


class Star(Slot):
    """The root needs all ranks; the other ranks need the root."""

    def _connect(self, call: Call) -> None:
        root = self.operation.root
        hub = self.calls.get(root) if root is not None else None
        if hub is None:
            return
        for other in [*self.calls.values()] if call is hub else [call]:
            if not other.done:
                self.exchange(hub, other)
                if other is not hub:
                    other.finish()
        if len(self.calls) == self.size:
            hub.finish()

    def neighbours(self, rank: int) -> Iterable[int]:
        return self.missing(rank)

    def missing(self, rank: int) -> Iterable[int]:
        root = self.operation.root
        if rank == root or root is None:
            return super().missing(rank)
        return () if root in self.calls else (root,)


class Tree(Slot):
    """A binomial tree, as in gloo's broadcast: rank r (counted from the root) receives from r without its highest bit."""

    def __init__(self, state: GroupState, number: int, operation: Operation, move: Move) -> None:
        super().__init__(state, number, operation, move)
        self._served: set[int] = set()

    def _parent(self, rank: int) -> int | None:
        place = (rank - (self.operation.root or 0)) % self.size
        return None if place == 0 else (place - (1 << (place.bit_length() - 1)) + (self.operation.root or 0)) % self.size

    def _children(self, rank: int) -> list[int]:
        place = (rank - (self.operation.root or 0)) % self.size
        steps = range(place.bit_length(), max(self.size - 1, 1).bit_length())
        return [(place + (1 << step) + (self.operation.root or 0)) % self.size for step in steps if place + (1 << step) < self.size]

    def _connect(self, call: Call) -> None:
        parent = self._parent(call.rank)
        if parent is None or (parent in self._served and parent in self.calls):
            self._serve(call.rank)

    def _serve(self, rank: int) -> None:
        pending = deque([rank])
        while pending:
            served = pending.popleft()
            parent = self._parent(served)
            if parent is not None:
                self.exchange(self.calls[parent], self.calls[served])
            self._served.add(served)
            pending.extend(child for child in self._children(served) if child in self.calls)
            self._settle(served)
            if parent is not None:
                self._settle(parent)

    def _settle(self, rank: int) -> None:
        if all(child in self._served for child in self._children(rank)):
            self.calls[rank].finish()

    def neighbours(self, rank: int) -> Iterable[int]:
        parent = self._parent(rank)
        if parent is not None and rank not in self._served:
            yield parent
        yield from (child for child in self._children(rank) if child not in self._served)

    def missing(self, rank: int) -> Iterable[int]:
        found = [child for child in self._children(rank) if child not in self.calls]
        above = self._parent(rank) if rank not in self._served else None
        while above is not None and above not in self._served:
            if above not in self.calls:
                found.append(above)
            above = self._parent(above)
        return sorted(found)


class Pair(Slot):
    """A send or receive that waits for its counterpart. ``root`` of the operation is the other rank."""

    def arrive_alone(self, call: Call) -> None:
        """Adds the first of the two calls."""
        self.calls[call.rank] = call

    def drop(self, call: Call) -> None:
        """Removes a failed call."""
        super().drop(call)
        self.state.pairs.remove(self)

    def neighbours(self, rank: int) -> Iterable[int]:
        return self.missing(rank)

    def missing(self, rank: int) -> Iterable[int]:
        peer = self.operation.root
        return (other for other in range(self.size) if other != rank) if peer is None else (peer,)
