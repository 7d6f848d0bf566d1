"""Crossing: did the collectives of two saves meet, so that a message of one save answered the other?

Two async saves that share a process group make their collectives on threads of their own. On a group, the first collective of one rank meets the first
of every other rank, the second the second, and so on. The saves cross where ranks make their n-th collective for different saves.

A fault ahead of a collective keeps it from meeting any other, or delays it: then another collective of the rank may come first.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.history import Event, History

_Turns = list[frozenset[str]]
"""For each collective of a rank, in order: the saves that it may have been for. That is one save, if the order of the calls is certain."""

_Call = tuple[str, str, int]
"""A call of a rank: operation, site, and number of the call."""


def crossed(history: History, ranks: Sequence[int], operations: Collection[str], *, in_turns: bool = True) -> bool:
    """Whether the collectives of some operations crossed on the group of some ranks.

    Args:
        history: what happened.
        ranks: the ranks of the group.
        operations: the names of the operations that share the group.
        in_turns: whether the history has the order in which the calls took effect. Otherwise two calls that one rank makes at the same time may have
            taken effect in either order.

    Example:
        >>> def call(rank, operation):
        ...     return Event(0.0, rank, "enter", operation, "pg.gather", 1)
        >>> saves = ["async_save[1]", "async_save[2]"]
        >>> crossed(History([call(0, saves[0]), call(1, saves[0])]), (0, 1), saves)
        False
        >>> crossed(History([call(0, saves[0]), call(1, saves[1])]), (0, 1), saves)
        True
    """
    turns = [_turns(history.of_rank(rank), operations, certain=in_turns) for rank in ranks]
    return any(len(saves) > 1 for at_once in zip(*turns, strict=False) for saves in [frozenset().union(*at_once)])


def _turns(events: Sequence[Event], operations: Collection[str], *, certain: bool) -> _Turns:
    """The collectives of one rank that met those of other ranks."""
    collectives = [event for event in events if event.site.startswith("pg.")]
    struck = {_call(event) for event in collectives if event.kind == "fault" and _strikes_before(event)}
    never_acted = struck - {_call(event) for event in collectives if event.kind in ("exit", "raised")}
    turns: dict[_Call, frozenset[str]] = {}
    under_way: set[_Call] = set()
    for event in collectives:
        call = _call(event)
        if event.operation not in operations or call in never_acted:
            continue
        if event.kind == "enter":
            under_way.add(call)
            turns[call] = frozenset([event.operation])
            order_is_known = certain and under_way.isdisjoint(struck)
            if not order_is_known:
                _join(turns, under_way)
        elif event.kind in ("exit", "raised"):
            under_way.discard(call)
    return list(turns.values())


def _call(event: Event) -> _Call:
    return event.operation, event.site, event.nth


def _strikes_before(firing: Event) -> bool:
    """Whether a fault that fired acted before the call that it struck, and so delayed the call or kept it from acting."""
    return not FaultPlan.parse(firing.detail).faults[0].after


def _join(turns: dict[_Call, frozenset[str]], calls: Collection[_Call]) -> None:
    """Calls that are under way at once may have taken effect in any order."""
    either = frozenset().union(*(turns[call] for call in calls))
    for call in calls:
        turns[call] = either
