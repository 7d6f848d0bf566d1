"""Ranks run a body, each ends in its own way, and a world starts fresh."""

from __future__ import annotations

from pathlib import Path

import torch.distributed as dist

from ckpt_harness.runtime import current
from ckpt_harness.worlds.base import World
from ckpt_harness.worlds.contract.bodies import MakeWorld, leave_one_behind, outcomes, values, who_am_i


def check_every_rank_runs_the_body_in_one_group(make_world: MakeWorld) -> None:
    """``body(*args)`` runs once on each rank, in a group of all ranks; the results are in rank order."""
    assert values(make_world(3).run(who_am_i, "hello")) == [("hello", rank, 3, rank) for rank in range(3)]


def check_a_run_is_fresh(make_world: MakeWorld) -> None:
    """A world can run again and starts fresh, after a hang too."""
    world = make_world(2)
    world.run(leave_one_behind)
    for _ in range(2):
        assert values(world.run(who_am_i, "again")) == [("again", rank, 2, rank) for rank in range(2)]


def _fail_on_rank_1() -> int:
    if dist.get_rank() == 1:
        raise OSError(28, "No space left on device")
    return dist.get_rank()


def check_an_error_is_the_outcome_of_its_rank(make_world: MakeWorld) -> None:
    """An exception of a body is recorded on its rank; ranks that do not wait for that rank are not disturbed."""
    results = make_world(3).run(_fail_on_rank_1)
    assert outcomes(results) == ["returned", "raised", "returned"], results
    record = results[1].record
    assert record is not None
    assert (record.type_name, record.errno) == ("OSError", "ENOSPC")


def _meet_unless_rank_1(world: World, place: str, all_come: bool) -> None:
    if all_come or current().rank() != 1:
        world.meet(lambda: Path(place, "met").touch(exist_ok=False))


def check_ranks_can_meet_outside_of_any_group(make_world: MakeWorld, place: Path) -> None:
    """The last rank to arrive runs the action once, before all go on; if a rank never arrives, the others hang."""
    world = make_world(3)
    assert outcomes(world.run(_meet_unless_rank_1, world, str(place), True)) == ["returned"] * 3
    assert (place / "met").exists()
    assert outcomes(world.run(_meet_unless_rank_1, world, str(place), False)) == ["hung", "returned", "hung"]
