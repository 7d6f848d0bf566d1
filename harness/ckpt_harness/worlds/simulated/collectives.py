"""Collectives of a group: which ranks each rank needs, and when its call ends.

Calls are matched by (group, sequence number), as in gloo. Every transfer is a rendezvous: a send ends when the receiver has posted the receive, and a
receive ends when the sender has sent. The rules were observed with gloo in torch 2.13 (four processes, one of them absent, late or killed):

* ``gather`` and ``scatter`` are stars: the root needs all ranks; the other ranks need the root only.
* ``broadcast`` is a binomial tree: a rank needs the ranks between itself and the root, and its own children. Other ranks may be absent.
* All other collectives need all ranks.
* A rank whose timer fires closes all its connections of that group. Later collectives fail at once on this rank ("Application timeout caused pair
  closure") and on every rank that communicates with it directly ("Connection closed by peer").
* The connections of a dead rank close in the same way. Only its direct neighbours notice: in a ring (``all_gather``, ``all_reduce``, ``reduce``), a
  rank that is no neighbour of the dead rank waits for the neighbours that failed, until its own timer fires.

If a rank calls another operation, root, type or size than the first rank to arrive, it takes no part: it waits, like the other ranks, until its timer
fires or the deadlock is proved, and the report names both operations. (gloo: different operations hang in the same way. With different roots or sizes, some
ranks of gloo match by accident, and may even return wrong data. Here none matches, so that the mistake shows.)

Not modelled: bandwidth and latency of a network; which of several simultaneous failures a real rank reports; that gloo's ``reduce`` lets some ranks
finish without the root; the stepwise progress inside a ring or a dissemination barrier after a failure (a rank fails as soon as any of its neighbours
in the whole algorithm has closed its connections).
"""

from __future__ import annotations

from collections.abc import Sequence

from ckpt_harness.worlds.simulated.patterns import Call, Move, Pair, Slot
from ckpt_harness.worlds.simulated.scheduler import Scheduler


class GroupState:
    """The shared state of a process group.

    Attributes:
        ranks: the members, as ranks of the world, in group order.
        closed: ranks in the group whose connections are closed, because of a timeout or a death.
    """

    def __init__(self, scheduler: Scheduler, ranks: Sequence[int], notices_closure: bool) -> None:
        self.scheduler, self.ranks = scheduler, tuple(ranks)
        self.slots: dict[int, Slot] = {}
        self.pairs: list[Pair] = []
        self.closed: set[int] = set()
        self._notices_closure = notices_closure

    def enter(self, number: int, call: Call, pattern: type[Slot], move: Move) -> None:
        """Adds ``call`` to the collective ``number``; it may end at once."""
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
        """Adds a ``send`` or ``recv``; ends it together with its counterpart, if that has arrived already."""
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
        """Returns what a waiting call waits in, and the ranks of the world that it waits for."""
        slot, name = call.slot, call.operation.name
        if slot is None:
            return name, ()
        if call.against:
            return f"{name} ({call.against})", (self.ranks[slot.first],)
        others = [
            f"rank {self.ranks[rank]} is in {call.operation.differs_as(other.operation)}" for rank, other in sorted(slot.mismatched.items())
        ]
        what = f"{name} ({', '.join(others)})" if others else name
        return what, tuple(sorted(self.ranks[rank] for rank in slot.missing(call.rank)))


def _correspond(first: Call, second: Call) -> bool:
    """Whether two calls are a send and its receive."""
    if {first.operation.name, second.operation.name} != {"send", "recv"}:
        return False
    return first.operation.root in (None, second.rank) and second.operation.root in (None, first.rank)


def closed_by_peer() -> RuntimeError:
    """Returns the error that gloo raises when another rank has closed its connection."""
    return RuntimeError("Connection closed by peer (simulated gloo). This is typically caused by a remote worker crashing.")
