"""What each rank of a collective needs from which other, and when its data has moved.

A collective is matched by (group, sequence number) like gloo's, and every transfer is a rendezvous: a sender is done when its receiver has posted
the receive, and a receiver when its sender has sent. Seen with gloo of torch 2.13 (four processes, one of them absent, late or killed):

* ``gather`` and ``scatter`` are stars: the root needs everybody, everybody else needs the root only.
* ``broadcast`` is a binomial tree: a rank needs the ranks on its way to the root, and its own children. Others may be absent.
* all other collectives need everybody.
* A rank whose timer fires closes all its connections of that group. Later collectives fail on it at once ("Application timeout caused pair
  closure"), and on every peer that talks to it directly ("Connection closed by peer").
* The connections of a dead rank are closed the same way. Only its direct neighbours see that: in a ring (``all_gather``, ``all_reduce``,
  ``reduce``) a rank that is no neighbour of the dead one waits on, for the neighbours that failed, until its own timer fires.

A rank that comes with another operation, root, type or size than the first to arrive does not take part: it waits, like its peers, until the
timer or the proof of the deadlock ends it, and what it waits in names both operations. (gloo: the same where names or roots differ, since their
messages carry different tags; where sizes differ it aborts the process.)

Not modelled: the bandwidth and latency of a network; which of several simultaneous failures a real rank reports; gloo's ``reduce`` letting some
ranks go without the root; the step-by-step progress inside a ring or a dissemination barrier after a failure (a rank fails when any of its
neighbours in the whole algorithm is gone).
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from harness.worlds.simulated.scheduler import Scheduler, Task


class Operation(NamedTuple):
    """What must agree between the ranks of one collective.

    Attributes:
        name: such as ``all_gather``.
        root: rank in the group, or None.
        unit: element type and count that each pair of ranks exchanges, or None where they may differ.
    """

    name: str
    root: int | None = None
    unit: tuple[Any, ...] | None = None

    def differs_as(self, other: Operation) -> str:
        """How ``other`` is called where it is told apart from this one."""
        if self.name != other.name:
            return other.name
        if self.root != other.root:
            return f"{other.name} with root {other.root}"
        return f"{other.name} of {other.unit[1] if other.unit else '?'} x {other.unit[0] if other.unit else '?'}"


class Call:
    """One rank's part in one collective.

    Attributes:
        rank: rank in the group.
        operation: what it came for.
        inputs: what it gives.
        outputs: where its results go.
        began: virtual seconds.
        done: whether it is over, with ``error`` set if it failed.
        against: what it does not match, if it came with something else than the others.
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
        """Ends the call and lets those who wait for it look."""
        if self.done:
            return
        self.done, self.error = True, error
        for task in self.waiters:
            task.scheduler.wake(task)
        for listener in self.listeners:
            listener()
        self.inputs = self.outputs = None

    def fail(self, error: Exception) -> None:
        """Ends the call without its having taken part: its messages will never come."""
        if self.slot is not None and not self.done:
            self.slot.drop(self)
        self.finish(error)


Move = Callable[[Sequence[Call]], None]
"""Moves data between calls that are all present, given in rank order (star, tree and pair: source first)."""


class Slot:
    """One collective of one group: who has come, and whom that lets go. Subclasses are the patterns of communication."""

    def __init__(self, state: GroupState, number: int, operation: Operation, move: Move) -> None:
        self.state, self.number, self.operation, self._move = state, number, operation, move
        self.size = len(state.ranks)
        self.calls: dict[int, Call] = {}
        self.mismatched: dict[int, Call] = {}
        self.first = -1

    def arrive(self, call: Call) -> None:
        """Adds a call, and ends those that now have all they need."""
        if self.first < 0:
            self.first = call.rank
        self.calls[call.rank] = call
        self._connect(call)
        if len(self.calls) == self.size:
            del self.state.slots[self.number]

    def drop(self, call: Call) -> None:
        """Forgets a call that failed."""
        self.calls.pop(call.rank, None)

    def _connect(self, call: Call) -> None:
        raise NotImplementedError

    def neighbours(self, rank: int) -> Iterable[int]:
        """Ranks whose closed connection the waiting ``rank`` notices."""
        raise NotImplementedError

    def missing(self, rank: int) -> Iterable[int]:
        """Ranks that have not come and that ``rank`` waits for."""
        return (other for other in range(self.size) if other not in self.calls)

    def exchange(self, *calls: Call) -> None:
        """Moves data; an argument that does not fit fails the ranks concerned, as it would in their own processes."""
        try:
            self._move(calls)
        except Exception as error:  # a user's tensor may refuse in any way, and its rank must be told
            for call in calls:
                call.finish(error)


class Everybody(Slot):
    """All need all, connected as a ring."""

    def _connect(self, call: Call) -> None:
        if len(self.calls) == self.size:
            calls = [self.calls[rank] for rank in range(self.size)]
            self.exchange(*calls)
            for one in calls:
                one.finish()

    def neighbours(self, rank: int) -> Iterable[int]:
        return {(rank - 1) % self.size, (rank + 1) % self.size}


class Dissemination(Everybody):
    """All need all; messages go to the ranks at distances 1, 2, 4, ..."""

    def neighbours(self, rank: int) -> Iterable[int]:
        distances = [1 << bit for bit in range(max(self.size - 1, 1).bit_length())]
        return {(rank + sign * distance) % self.size for distance in distances if distance < self.size for sign in (-1, 1)}


class Mesh(Everybody):
    """All need all, and all talk to all."""

    def neighbours(self, rank: int) -> Iterable[int]:
        return range(self.size)


class Star(Slot):
    """The root needs all, the others need the root."""

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
    """Binomial, as gloo's broadcast: rank r (counted from the root) hears from r without its highest bit."""

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
            one = pending.popleft()
            parent = self._parent(one)
            if parent is not None:
                self.exchange(self.calls[parent], self.calls[one])
            self._served.add(one)
            pending.extend(child for child in self._children(one) if child in self.calls)
            self._settle(one)
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
    """A send, or a receive, that waits for its counterpart; ``root`` of the operation is the peer."""

    def arrive_alone(self, call: Call) -> None:
        """The first of the two is there."""
        self.calls[call.rank] = call

    def drop(self, call: Call) -> None:
        """Forgets a call that failed."""
        super().drop(call)
        self.state.pairs.remove(self)

    def neighbours(self, rank: int) -> Iterable[int]:
        return self.missing(rank)

    def missing(self, rank: int) -> Iterable[int]:
        peer = self.operation.root
        return (other for other in range(self.size) if other != rank) if peer is None else (peer,)


class GroupState:
    """What the ranks of one process group share.

    Attributes:
        ranks: the members, as ranks of the world, in group order.
        closed: ranks in the group whose connections are closed, because they timed out or died.
    """

    def __init__(self, scheduler: Scheduler, ranks: Sequence[int], notices_closure: bool) -> None:
        self.scheduler, self.ranks = scheduler, tuple(ranks)
        self.slots: dict[int, Slot] = {}
        self.pairs: list[Pair] = []
        self.closed: set[int] = set()
        self._notices_closure = notices_closure

    def enter(self, number: int, call: Call, pattern: type[Slot], move: Move) -> None:
        """Takes ``call`` into the collective ``number``; it may be over at once."""
        slot = self.slots.get(number)
        if slot is None:
            slot = self.slots[number] = pattern(self, number, call.operation, move)
        call.slot = slot
        if slot.operation != call.operation:
            call.against = f"rank {self.ranks[slot.first]} is in {call.operation.differs_as(slot.operation)}"
            slot.mismatched[call.rank] = call
            return
        if self._is_cut_off(call):
            call.fail(closed_by_peer())
            return
        self.scheduler.progress()
        slot.arrive(call)

    def meet(self, tag: int, call: Call, move: Move) -> None:
        """Takes in a ``send`` or ``recv``, and ends it with its counterpart if that is there already."""
        for pair in self.pairs:
            other = next(iter(pair.calls.values()))
            if pair.number == tag and _correspond(call, other):
                self.pairs.remove(pair)
                source, target = (call, other) if call.operation.name == "send" else (other, call)
                pair.exchange(source, target)
                source.finish()
                target.source = source.rank
                target.finish()
                return
        pair = Pair(self, tag, call.operation, move)
        call.slot = pair
        self.pairs.append(pair)
        pair.arrive_alone(call)
        if self._is_cut_off(call):
            call.fail(closed_by_peer())

    def _is_cut_off(self, call: Call) -> bool:
        assert call.slot is not None
        return self._notices_closure and bool(self.closed) and not self.closed.isdisjoint(call.slot.neighbours(call.rank))

    def close(self, rank: int) -> None:
        """Closes the connections of ``rank`` (in the group): peers that wait for a message of it fail."""
        self.closed.add(rank)
        if not self._notices_closure:
            return
        for slot in [*self.slots.values(), *self.pairs]:
            for call in [*slot.calls.values()]:
                if not call.done and call.rank != rank and rank in slot.neighbours(call.rank):
                    call.fail(closed_by_peer())

    def describe(self, call: Call) -> tuple[str, tuple[int, ...]]:
        """What a waiting call is in, and the ranks of the world it waits for."""
        slot, name = call.slot, call.operation.name
        if slot is None:
            return name, ()
        if call.against:
            return f"{name} ({call.against})", (self.ranks[slot.first],)
        others = [f"rank {self.ranks[rank]} is in {call.operation.differs_as(one.operation)}" for rank, one in sorted(slot.mismatched.items())]
        what = f"{name} ({', '.join(others)})" if others else name
        return what, tuple(sorted(self.ranks[rank] for rank in slot.missing(call.rank)))


def _correspond(one: Call, other: Call) -> bool:
    """Whether two calls are a send and the receive for it."""
    if {one.operation.name, other.operation.name} != {"send", "recv"}:
        return False
    return one.operation.root in (None, other.rank) and other.operation.root in (None, one.rank)


def closed_by_peer() -> RuntimeError:
    """What gloo raises when the connection to a peer is gone."""
    return RuntimeError("Connection closed by peer (simulated gloo). This is typically caused by a remote worker crashing.")
