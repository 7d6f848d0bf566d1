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
timer or the proof of the deadlock ends it, and what it waits in names both operations. (gloo: different operations hang in the same way. With
different roots or sizes some ranks pair by accident, and may even return wrong data; here none does, so that the mistake shows.)

Not modelled: the bandwidth and latency of a network; which of several simultaneous failures a real rank reports; gloo's ``reduce`` letting some
ranks go without the root; the step-by-step progress inside a ring or a dissemination barrier after a failure (a rank fails when any of its
neighbours in the whole algorithm is gone).
"""

from __future__ import annotations

from collections.abc import Sequence

from ckpt_harness.worlds.simulated.patterns import Call, Move, Pair, Slot
from ckpt_harness.worlds.simulated.scheduler import Scheduler


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
        others = [
            f"rank {self.ranks[rank]} is in {call.operation.differs_as(one.operation)}" for rank, one in sorted(slot.mismatched.items())
        ]
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
