"""Saves cross where ranks make their n-th collective on a group for different saves."""

from __future__ import annotations

import pytest

from ckpt_harness.history import Event, History
from ckpt_harness.judging.crossing import crossed

SAVES = ("async_save[1]", "async_save[2]")


def _history(calls: str) -> History:
    """A history of collectives, from words such as ``0A+`` (rank 0 enters one for the first save) and ``0A-`` (it has ended)."""
    history, numbers = History(), dict.fromkeys(calls.split(), 0)
    for word in calls.split():
        rank, save, kind = int(word[0]), SAVES["AB".index(word[1])], {"+": "enter", "-": "exit"}[word[2]]
        numbers[word] += 1
        history.append(Event(0.0, rank, kind, save, "pg.gather", numbers[word]))
    return history


@pytest.mark.parametrize(
    ("calls", "expected"),
    [
        ("0A+ 1A+ 0A- 1A- 0B+ 1B+", False),  # one save after the other
        ("0A+ 0B+ 1A+ 1B+", False),  # under way at once, in the same order
        ("0A+ 0B+ 1B+ 1A+", True),
        ("0A+ 0A- 0B+ 1A+ 1A- 1A+", True),  # the second collectives meet
        ("0A+ 0B+", False),  # nobody to meet
        ("0A+ 1B+", True),
    ],
)
def test_saves_cross_where_their_collectives_meet(calls: str, expected: bool) -> None:
    """The n-th collective of one rank meets the n-th of every other rank."""
    assert crossed(_history(calls), (0, 1), SAVES) is expected


def test_only_the_group_counts() -> None:
    """Other ranks, other operations and other sites are left out."""
    history = _history("0A+ 1A+ 2B+")
    assert not crossed(history, (0, 1), SAVES)
    assert crossed(history, (0, 2), SAVES)
    assert not crossed(history, (0, 2), SAVES[:1])
    assert not crossed(History([Event(0.0, rank, "enter", SAVES[rank], "writer.reset", 1) for rank in (0, 1)]), (0, 1), SAVES)


def test_calls_of_real_threads_that_are_under_way_at_once_may_have_met_in_either_order() -> None:
    """Between a record and its call another thread may run, unless the threads run in turns."""
    at_once, in_sequence = _history("0A+ 0B+ 1A+ 1B+"), _history("0A+ 0A- 0B+ 1A+ 1A- 1B+")
    assert crossed(at_once, (0, 1), SAVES, in_turns=False)
    assert not crossed(in_sequence, (0, 1), SAVES, in_turns=False)


def test_a_collective_that_a_fault_kept_from_acting_meets_no_other() -> None:
    """Rank 0 fails ahead of its first collective, so its second, for the other save, meets the first of rank 1. After it has acted, it has met."""
    struck = Event(0.0, 0, "fault", SAVES[0], "pg.gather", 1, "pg.gather@0=raise")
    after = struck._replace(detail="pg.gather@0!after=raise")
    calls = list(_history("0A+ 0B+ 1A+ 1B+"))
    assert not crossed(History(calls), (0, 1), SAVES)
    assert crossed(History([calls[0], struck, *calls[1:]]), (0, 1), SAVES)
    assert not crossed(History([calls[0], after, *calls[1:]]), (0, 1), SAVES)


def test_a_collective_that_a_fault_delays_may_come_behind_another() -> None:
    """It began first, and the rank began a collective for the other save meanwhile."""
    delayed = Event(0.0, 0, "fault", SAVES[0], "pg.gather", 1, "pg.gather@0=delay(5)")
    meanwhile, later = list(_history("0A+ 0B+ 0A- 1A+ 1B+")), list(_history("0A+ 0A- 0B+ 1A+ 1B+"))
    assert crossed(History([meanwhile[0], delayed, *meanwhile[1:]]), (0, 1), SAVES)
    assert not crossed(History([later[0], delayed, *later[1:]]), (0, 1), SAVES)
