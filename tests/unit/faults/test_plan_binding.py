"""Binding a plan to a world: ranks, the coordinator, and which fault strikes what."""

from __future__ import annotations

import pytest

from ckpt_harness.errors import PlanError
from ckpt_harness.faults.fault import OperationRef
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.protocol import DCP_ALONE


def _ranks(text: str, world_size: int, coordinator: int = 0) -> set[int]:
    return set(FaultPlan.parse(text).bind(world_size, coordinator).faults[0].ranks)


def test_words_mean_ranks_of_the_world() -> None:
    """The coordinator, all but it, and all."""
    assert _ranks("write_data@coordinator=raise", 4, 2) == {2}
    assert _ranks("write_data@others=raise", 4, 2) == {0, 1, 3}
    assert _ranks("write_data@all=raise", 4, 2) == {0, 1, 2, 3}
    assert _ranks("write_data@1,3=raise", 4, 2) == {1, 3}


@pytest.mark.parametrize(
    ("text", "world_size", "coordinator", "words"),
    [
        ("write_data@4=raise", 4, 0, "rank 4 is outside a world of 4; valid: 0 to 3"),
        ("write_data@others=raise", 1, 0, "strikes no rank: all ranks of a world of 1 coordinate"),
        ("finish@1=raise", 4, 0, r"only a coordinator calls writer.finish, and rank 1 does not coordinate; valid: 0"),
        ("finish@0=raise", 4, 3, r"only a coordinator calls writer.finish, and rank 0 does not coordinate; valid: 3"),
        ("", 4, 4, "coordinator 4 is outside a world of 4; valid: 0 to 3"),
        ("", 4, -1, "valid: 0 to 3"),
        ("", 0, 0, "a world of 0"),
        ("write_data@coordinator=raise; write_data@2=hang", 4, 2, "two faults may strike the same call of rank 2"),
        ("write_data@others=raise; write_data@1=hang", 4, 0, "two faults may strike the same call of rank 1"),
        ("write_data@0=raise(no.such.module.Error)", 1, 0, "cannot be imported"),
        ("write_data.future@0=failfuture(wait,ckpt_harness.faults.plan.FaultPlan)", 1, 0, "not an exception class"),
    ],
)
def test_a_plan_that_does_not_fit_the_world_is_refused(text: str, world_size: int, coordinator: int, words: str) -> None:
    """Before anything runs, with the value and the choices."""
    with pytest.raises(PlanError, match=words):
        FaultPlan.parse(text).bind(world_size, coordinator)


def test_without_collectives_every_rank_coordinates_itself() -> None:
    """A rank that is its own coordinator calls the coordinator's sites."""
    bound = FaultPlan.parse("finish@2=raise").bind(4, 0, DCP_ALONE)
    assert bound.faults[0].ranks == {2}


def test_a_bound_plan_prints_as_it_was_made() -> None:
    """Short enough for a failing test's report."""
    assert repr(FaultPlan.parse("finish@1=raise").bind(2, 1)) == "FaultPlan.parse('writer.finish@1=raise').bind(2, 1)"


def test_the_faults_of_a_call_are_found() -> None:
    """By site and rank, in the order of the plan."""
    bound = FaultPlan.parse("save[2]/write_data@1#2=raise; save[2]/finish@0=hang; save[3]/write_data@all#1x*=kill").bind(2)
    first, finish, everywhere = bound.faults
    assert list(bound.at("writer.write_data", 1)) == [first, everywhere]
    assert list(bound.at("writer.write_data", 0)) == [everywhere]
    assert list(bound.at("writer.finish", 0)) == [finish]
    assert not list(bound.at("writer.finish", 1))


def test_the_sites_of_a_plan_are_told_by_operation() -> None:
    """A plan may strike saves and loads."""
    bound = FaultPlan.parse("finish@0=raise; read_data@0=raise; stage@0=raise").bind(1)
    assert bound.sites() == {"writer.finish", "reader.read_data", "writer.stage"}
    assert bound.sites("save") == {"writer.finish"}
    assert bound.sites("async_save") == {"writer.finish", "writer.stage"}


def test_an_operation_is_addressed_by_kind_and_number() -> None:
    """Without a number, every one of the kind is meant."""
    assert OperationRef("save", 3).matches("save[3]")
    assert not OperationRef("save", 3).matches("save[4]")
    assert OperationRef("save").matches("save[9]")
    assert not OperationRef("save").matches("async_save[9]")


@pytest.mark.parametrize(
    ("window", "struck"), [("", {1}), ("#2", {2}), ("#2x3", {2, 3, 4}), ("#3x*", {3, 4, 5, 6})], ids=["once", "later", "some", "for ever"]
)
def test_a_window_strikes_its_occurrences(window: str, struck: set[int]) -> None:
    """From the n-th, so many times."""
    (fault,) = FaultPlan.parse(f"write_data@0{window}=raise")
    assert {nth for nth in range(1, 7) if fault.strikes(nth)} == struck
