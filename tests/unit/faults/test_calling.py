"""Ways of calling: who does the operation with whom, and what is refused."""

from __future__ import annotations

import re

import pytest

from ckpt_harness.cases.case import Case
from ckpt_harness.errors import PlanError, UsageError
from ckpt_harness.faults.calling import CALL_STYLES, find_call_style
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.protocol import DCP, Group


@pytest.mark.parametrize(
    ("way", "ranks", "coordinator", "groups"),
    [
        ("together", 3, 1, [((0, 1, 2), 1)]),
        ("alone", 1, 0, [((0,), 0)]),
        ("no_dist", 2, 0, [((0,), 0), ((1,), 1)]),
        ("no_collectives", 2, 0, [((0, 1), 0)]),
        ("subgroup", 4, 0, [((1, 2, 3), 1)]),
        ("subgroup", 4, 2, [((1, 2, 3), 3)]),
        ("groups", 5, 0, [((0, 2, 4), 0), ((1, 3), 1)]),
        ("groups", 5, 1, [((0, 2, 4), 2), ((1, 3), 3)]),
    ],
)
def test_ranks_are_split_into_groups(way: str, ranks: int, coordinator: int, groups: list[tuple[tuple[int, ...], int]]) -> None:
    """The coordinator is named by its rank within the group, and known by that in the world."""
    assert find_call_style(way).groups(ranks, coordinator) == tuple(Group(*group) for group in groups)


@pytest.mark.parametrize(
    ("way", "kind", "joined"),
    [("together", "save", True), ("groups", "load", True), ("alone", "save", False), ("no_dist", "load", False), ("no_collectives", "async_save", False)],
)
def test_a_way_says_whether_collectives_join_ranks(way: str, kind: str, joined: bool) -> None:
    """And the engine's protocol stays what it is in all else."""
    protocol = find_call_style(way).protocol(DCP, kind)  # type: ignore[arg-type]  # one of three literals
    assert (protocol.collectives, protocol.operations) == (joined, DCP.operations)


def test_a_load_cannot_be_told_to_go_without_collectives() -> None:
    """So its protocol is that of all loads, whatever it loads."""
    assert find_call_style("no_collectives").protocol(DCP, "load") is DCP


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (Case(way="ring"), "unknown way 'ring'; valid: together, alone, no_dist"),
        (Case(way="alone"), "way 'alone' (one rank, no process group) does not work with 2 ranks; valid: 1"),
        (Case(way="subgroup", ranks=1), "with 1 rank; valid: 2 or more"),
        (Case(way="groups", ranks=1), "valid: 2 or more"),
        (Case(way="groups", ranks=4, coordinator=2), "coordinator 2 is outside a group of 2 (way 'groups'); valid: 0 to 1"),
        (Case(way="no_dist", coordinator=1), "coordinator 1 is outside a group of 1 (way 'no_dist'); valid: 0 to 0"),
        (Case(way="no_collectives", coordinator=1), "coordinator 1 with way 'no_collectives', in which no rank coordinates; valid: 0"),
        (Case(planner="cached"), "unknown planner 'cached' for engine 'filesystem'; valid: default, plan-caching"),
        (Case(way="no_collectives", engine="tests/unit/joined_only.py:ENGINE"), "does not claim 'without collectives'"),
    ],
)
def test_what_a_way_does_not_work_in_is_refused(case: Case, words: str) -> None:
    """With the value and the choices, before anything runs."""
    with pytest.raises(UsageError, match=re.escape(words)):
        case.bind()


@pytest.mark.parametrize(
    ("way", "ranks", "text", "words"),
    [
        ("subgroup", 3, "writer.write_data@0=raise", "rank 0 takes no part in the operation; valid: 1, 2"),
        ("subgroup", 3, "writer.write_data@3=raise", "rank 3 is outside a world of 3"),
        ("subgroup", 3, "writer.finish@2=raise", "only a coordinator calls writer.finish, and rank 2 does not coordinate; valid: 1"),
        ("groups", 4, "writer.finish@3=raise", "only a coordinator calls writer.finish, and rank 3 does not coordinate; valid: 0, 1"),
        ("groups", 2, "writer.write_data@others=raise", "strikes no rank: all ranks of a world of 2 coordinate"),
        ("no_dist", 2, "writer.write_data@others=raise", "strikes no rank"),
        ("groups", 4, "writer.write_data@coordinator=raise; writer.write_data@1=hang", "two faults may strike the same call of rank 1"),
    ],
)
def test_a_fault_that_could_never_fire_is_refused(way: str, ranks: int, text: str, words: str) -> None:
    """On ranks that stand by, and on ranks that do not coordinate their group."""
    with pytest.raises(PlanError, match=re.escape(words)):
        Case(FaultPlan.parse(text), ranks=ranks, way=way).bind()


@pytest.mark.parametrize(
    ("way", "ranks", "word", "meant"),
    [
        ("groups", 4, "coordinator", {0, 1}),
        ("groups", 4, "others", {2, 3}),
        ("groups", 4, "all", {0, 1, 2, 3}),
        ("subgroup", 4, "all", {1, 2, 3}),
        ("subgroup", 4, "coordinator", {1}),
        ("no_dist", 3, "coordinator", {0, 1, 2}),
        ("no_collectives", 3, "others", {1, 2}),
    ],
)
def test_words_mean_ranks_of_every_group(way: str, ranks: int, word: str, meant: set[int]) -> None:
    """``@coordinator`` is each group's own."""
    [bound] = Case(FaultPlan.parse(f"writer.write_data@{word}=raise"), ranks=ranks, way=way).bind().plan.faults
    assert bound.ranks == meant


def test_a_case_replays_as_it_was_called() -> None:
    """Way and planner are part of the line, where they are not the usual ones."""
    case = Case(FaultPlan.parse("writer.finish@1=raise"), ranks=3, way="subgroup", planner="plan-caching")
    assert case.replay_line() == "ckpt-harness replay writer.finish@1=raise --op save --ranks 3 --way subgroup --planner plan-caching"


def test_every_way_says_what_it_is() -> None:
    """One line each."""
    assert all(name == way.name and way.about for name, way in CALL_STYLES.items())
