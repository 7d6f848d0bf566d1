"""Arrivals: which call a fault strikes."""

from __future__ import annotations

import contextlib

import pytest
from injector_doubles import World, injector_of, struck

from ckpt_harness.errors import InjectedFault
from ckpt_harness.injection.arrival import Firing


def test_a_fault_strikes_its_occurrence_on_its_rank(world: World) -> None:
    """Calls are counted per rank."""
    injector = injector_of("writer.write_data@1#2=raise")
    assert struck(injector, "writer.write_data") == []
    world.calling = 1
    assert struck(injector, "writer.write_data") == [2]
    assert [(firing.rank, firing.fault) for firing in injector.fired] == [(1, "writer.write_data@1#2=raise")]


@pytest.mark.parametrize(("window", "numbers"), [("", [1]), ("#2x3", [2, 3, 4]), ("#5x*", [5, 6])], ids=["once", "three times", "for ever"])
def test_a_fault_strikes_as_often_as_the_plan_says(world: World, window: str, numbers: list[int]) -> None:
    """``#nxTIMES`` is a window of calls."""
    assert struck(injector_of(f"pg.gather@0{window}=raise"), "pg.gather") == numbers


def test_within_an_operation_occurrences_start_anew(world: World) -> None:
    """With an operation in the fault, ``#n`` counts within the operation; without one, over the whole case."""
    addressed, anywhere = injector_of("save/pg.gather@0#2=raise"), injector_of("pg.gather@0#2=raise")
    for injector, expected in ((addressed, [[2], [2]]), (anywhere, [[2], []])):
        numbers = []
        for _ in range(2):
            with injector.operation("save"):
                numbers.append(struck(injector, "pg.gather", 2))
        assert numbers == expected


def test_operations_are_numbered_by_kind_and_rank(world: World) -> None:
    """Each rank counts its own saves and loads."""
    injector = injector_of("save[2]/writer.finish@0=raise")
    names = []
    for kind in ("save", "load", "save"):
        with injector.operation(kind) as name:
            names.append((name, struck(injector, "writer.finish", 1)))
    assert names == [("save[1]", []), ("load[1]", []), ("save[2]", [1])]
    world.calling = 1
    with injector.operation("save") as name:
        assert name == "save[1]"
    assert injector.fired == (Firing("save[2]/writer.finish@0=raise", 0, "save[2]", 1),)


def test_the_engine_decides_which_rank_coordinates(world: World) -> None:
    """Until the engine has passed a role, the first coordinator of the injector counts."""
    injector = injector_of("writer.write_data@coordinator#1x*=raise; writer.reset@others#1x*=raise", coordinators=(1,))
    assert (struck(injector, "writer.write_data", 1), struck(injector, "writer.reset", 1)) == ([], [1])
    injector.learn_role(True)
    assert (struck(injector, "writer.write_data", 1), struck(injector, "writer.reset", 1)) == ([1], [])


def test_a_caller_may_pass_its_rank(world: World) -> None:
    """Needed where no launcher provides the rank."""
    assert struck(injector_of("writer.write_data@5=raise", rank=5), "writer.write_data", 1) == [1]


SAVE = "reset storage_meta set_up_storage_writer prepare_local_plan prepare_global_plan write_data finish".split()


def test_a_wrapper_that_stands_alone_infers_its_operations(world: World) -> None:
    """A call of a site earlier in the order than the last site begins the next operation."""
    injector = injector_of("save[2]/writer.write_data@0=raise; save[3]/writer.prepare_local_plan@0=raise")
    reached = []
    for _ in range(3):
        with contextlib.suppress(InjectedFault):
            for name in SAVE:
                injector.call(f"writer.{name}", lambda: None)
        reached.append(name)
    assert reached == ["finish", "write_data", "prepare_local_plan"]


def test_a_retried_read_is_no_new_operation(world: World) -> None:
    """DCP calls ``read_metadata`` again after an error."""
    injector = injector_of("load/reader.read_metadata@0#2=raise")
    injector.call("reader.reset", lambda: None)
    assert struck(injector, "reader.read_metadata", 3) == [2]
    assert injector.fired[0].operation == "load[1]"


def test_healing_ends_all_faults_of_a_rank(world: World) -> None:
    """Calls of the healed rank are still counted; faults of other ranks stay."""
    injector = injector_of("pg.gather@all#1x*=raise")
    injector.heal()
    assert struck(injector, "pg.gather", 2) == []
    world.calling = 1
    assert struck(injector, "pg.gather", 2) == [1, 2]
