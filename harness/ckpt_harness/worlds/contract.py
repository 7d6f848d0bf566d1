"""The contract of worlds: checks that every implementation must pass. They need no test framework.

A check is a function ``check_<claim>(make_world)`` or ``check_<claim>(make_world, place)`` that raises ``AssertionError`` if the claim does not hold.
``make_world(size)`` makes a world of ``size`` ranks with a process group like gloo's; the world itself detects hangs. ``place`` is an empty directory
that all ranks can access. Bodies are functions at module level, so that they can be pickled and sent to other processes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException

from ckpt_harness.errors import InjectedFault
from ckpt_harness.runtime import current
from ckpt_harness.worlds.base import RankResult, World

T = TypeVar("T")
MakeWorld = Callable[[int], World]


def checks() -> list[Callable[..., None]]:
    """Returns all checks, in the order of this file."""
    return [value for name, value in globals().items() if name.startswith("check_")]


def _outcomes(results: Sequence[RankResult]) -> list[str]:
    return [result.outcome for result in results]


def _values(results: Sequence[RankResult]) -> list[Any]:
    assert _outcomes(results) == ["returned"] * len(results), results
    return [result.value for result in results]


# --- ranks and outcomes ------------------------------------------------------------------------------------------------


def _who_am_i(greeting: str) -> tuple[str, int, int, int]:
    return greeting, dist.get_rank(), dist.get_world_size(), current().rank()


def check_every_rank_runs_the_body_in_one_group(make_world: MakeWorld) -> None:
    """``body(*args)`` runs once on each rank, in a group of all ranks; the results are in rank order."""
    assert _values(make_world(3).run(_who_am_i, "hello")) == [("hello", rank, 3, rank) for rank in range(3)]


def check_a_run_is_fresh(make_world: MakeWorld) -> None:
    """A world can run again and starts fresh, after a hang too."""
    world = make_world(2)
    world.run(_leave_one_behind)
    for _ in range(2):
        assert _values(world.run(_who_am_i, "again")) == [("again", rank, 2, rank) for rank in range(2)]


def _fail_on_rank_1() -> int:
    if dist.get_rank() == 1:
        raise OSError(28, "No space left on device")
    return dist.get_rank()


def check_an_error_is_the_outcome_of_its_rank(make_world: MakeWorld) -> None:
    """An exception of a body is recorded on its rank; ranks that do not wait for that rank are not disturbed."""
    results = make_world(3).run(_fail_on_rank_1)
    assert _outcomes(results) == ["returned", "raised", "returned"], results
    record = results[1].record
    assert record is not None
    assert (record.type_name, record.errno) == ("OSError", "ENOSPC")


def _meet_unless_rank_1(world: World, place: str, all_come: bool) -> None:
    if all_come or current().rank() != 1:
        world.meet(lambda: Path(place, "met").touch(exist_ok=False))


def check_ranks_can_meet_outside_of_any_group(make_world: MakeWorld, place: Path) -> None:
    """The last rank to arrive runs the action once, before all go on; if a rank never arrives, the others hang."""
    world = make_world(3)
    assert _outcomes(world.run(_meet_unless_rank_1, world, str(place), True)) == ["returned"] * 3
    assert (place / "met").exists()
    assert _outcomes(world.run(_meet_unless_rank_1, world, str(place), False)) == ["hung", "returned", "hung"]


# --- collectives -------------------------------------------------------------------------------------------------------


def _collect() -> dict[str, Any]:
    rank, size = dist.get_rank(), dist.get_world_size()
    mine = torch.tensor([float(rank + 1)])
    everybody = [torch.zeros(1) for _ in range(size)]
    dist.all_gather(everybody, mine)
    received = torch.tensor([float(rank)])
    dist.broadcast(received, src=size - 1)
    total = mine.clone()
    dist.all_reduce(total)
    gathered = [torch.zeros(1) for _ in range(size)] if rank == 1 else None
    dist.gather(mine, gathered, dst=1)
    share = torch.zeros(1)
    shares = [torch.tensor([10.0 * target]) for target in range(size)] if rank == 0 else None
    dist.scatter(share, shares, src=0)
    objects: list[Any] = [None] * size
    dist.all_gather_object(objects, {"rank": rank})
    dist.barrier()
    return {
        "all_gather": [tensor.item() for tensor in everybody],
        "broadcast": received.item(),
        "all_reduce": total.item(),
        "gather": [tensor.item() for tensor in gathered or []],
        "scatter": share.item(),
        "objects": objects,
    }


def check_collectives_carry_data(make_world: MakeWorld) -> None:
    """The collectives that checkpointing uses move the right values to the right ranks."""
    for rank, got in enumerate(_values(make_world(3).run(_collect))):
        assert got == {
            "all_gather": [1.0, 2.0, 3.0],
            "broadcast": 2.0,
            "all_reduce": 6.0,
            "gather": [1.0, 2.0, 3.0] if rank == 1 else [],
            "scatter": 10.0 * rank,
            "objects": [{"rank": 0}, {"rank": 1}, {"rank": 2}],
        }


def _sum_in_halves() -> float:
    halves = [dist.new_group([0, 1]), dist.new_group([2, 3])]
    mine = torch.tensor([float(dist.get_rank())])
    dist.all_reduce(mine, group=halves[dist.get_rank() // 2])
    return mine.item()


def check_sub_groups_work_at_the_same_time(make_world: MakeWorld) -> None:
    """Two sub-groups are independent of each other."""
    assert _values(make_world(4).run(_sum_in_halves)) == [1.0, 1.0, 5.0, 5.0]


class FailingAt:
    """Fails a collective on a rank. It is a :class:`ckpt_harness.worlds.base.Faults` that can be pickled and sent to another process."""

    def __init__(self, site: str, rank: int) -> None:
        self.site, self.rank = site, rank

    def call(self, site: str, function: Callable[..., T], *args: Any) -> T:
        """Raises at the site on the rank; everywhere else, calls the function."""
        if site == self.site and current().rank() == self.rank:
            raise InjectedFault(site)
        return function(*args)


def _gather_to_0() -> None:
    mine = torch.zeros(1)
    dist.gather(mine, [torch.zeros(1) for _ in range(dist.get_world_size())] if dist.get_rank() == 0 else None, dst=0)


def check_faults_are_consulted_before_a_collective(make_world: MakeWorld) -> None:
    """A fault at ``pg.gather`` fails the call on its rank, and the root then waits for that rank."""
    results = make_world(2).run(_gather_to_0, faults=FailingAt("pg.gather", 1))
    assert _outcomes(results) == ["hung", "raised"], results
    assert isinstance(results[1].record and results[1].record.type_name, str)


# --- who hangs ---------------------------------------------------------------------------------------------------------


def _leave_one_behind() -> None:
    if dist.get_rank() != 1:
        dist.barrier()


def check_hung_ranks_report_where_they_wait(make_world: MakeWorld) -> None:
    """Ranks that wait for a rank whose body has ended are hung, with the collective and the source line; the ended rank stays connected."""
    results = make_world(3).run(_leave_one_behind)
    assert _outcomes(results) == ["hung", "returned", "hung"], results
    for result in (results[0], results[2]):
        assert result.wait is not None
        assert result.wait.what == "barrier"
        assert result.wait.source.startswith("ckpt_harness/worlds/contract.py:"), result.wait
        assert result.wait.source.endswith(" in _leave_one_behind"), result.wait


def _gather_without_the_root() -> None:
    if dist.get_rank() != 0:
        _gather_to_0()


def check_a_sender_waits_for_its_receiver(make_world: MakeWorld) -> None:
    """As with gloo, a send is a rendezvous: ranks that gather to an absent root hang."""
    results = make_world(3).run(_gather_without_the_root)
    assert _outcomes(results) == ["returned", "hung", "hung"], results


def _broadcast_without_rank_2() -> None:
    if dist.get_rank() != 2:
        dist.broadcast(torch.zeros(1), src=0)


def check_a_broadcast_is_a_tree(make_world: MakeWorld) -> None:
    """As with gloo, of four ranks only the root needs rank 2; rank 3 receives from rank 1."""
    results = make_world(4).run(_broadcast_without_rank_2)
    assert _outcomes(results) == ["hung", "returned", "returned", "returned"], results


def _hang_on_rank_0() -> None:
    if dist.get_rank() == 0:
        current().hang("injected hang")


def check_an_injected_hang_is_a_hang(make_world: MakeWorld) -> None:
    """A rank that hangs by an injected fault is hung, and the report names the fault."""
    results = make_world(2).run(_hang_on_rank_0)
    assert _outcomes(results) == ["hung", "returned"], results
    assert results[0].wait is not None
    assert "hang" in results[0].wait.what


# --- death -------------------------------------------------------------------------------------------------------------


def _die_between_barriers() -> None:
    dist.barrier()
    if dist.get_rank() == 1:
        current().die()
    dist.barrier()


def check_peers_of_a_dead_rank_get_an_error(make_world: MakeWorld) -> None:
    """Ranks that communicate with a dead rank get an error at once."""
    results = make_world(2).run(_die_between_barriers)
    assert _outcomes(results) == ["raised", "dead"], results
    assert results[0].record is not None
    # gloo reports either, depending on what the kernel reports.
    assert re.search(r"Connection (closed|reset) by peer", results[0].record.message), results[0].record.message


def _write_and_die(place: str) -> NoReturn:
    with Path(place, f"rank-{dist.get_rank()}").open("w", encoding="ascii") as file:
        file.write("buffered")
        try:
            current().die()
        finally:
            Path(place, "unwound").touch()


def check_death_unwinds_nothing_before_the_judge_looks(make_world: MakeWorld, place: Path) -> None:
    """When the judge looks, the buffers of a dead rank are not on storage, and no ``finally`` block has run."""
    seen: dict[str, int] = {}

    def judge(results: Sequence[RankResult]) -> None:
        assert _outcomes(results) == ["dead", "dead"], results
        seen.update({path.name: path.stat().st_size for path in place.iterdir()})

    make_world(2).run(_write_and_die, str(place), judge=judge)
    assert seen == {"rank-0": 0, "rank-1": 0}


def check_the_judge_may_run_another_world(make_world: MakeWorld, place: Path) -> None:
    """While hung ranks are kept as they are, other ranks can run."""
    inner: list[Any] = []

    def judge(_: Sequence[RankResult]) -> None:
        inner.extend(_values(make_world(2).run(_save_and_load, str(place))))

    results = make_world(3).run(_leave_one_behind, judge=judge)
    assert _outcomes(results) == ["hung", "returned", "hung"], results
    assert inner == [True, True]


# --- checkpoints -------------------------------------------------------------------------------------------------------


def _state(factor: float) -> dict[str, Any]:
    return {"model": {"weight": factor * torch.arange(12.0).reshape(3, 4), "step": int(7 * factor)}}


def _save_and_load(place: str) -> bool:
    dcp.save(_state(1.0), storage_writer=dcp.FileSystemWriter(place, sync_files=False))
    loaded = _state(0.0)
    dcp.load(loaded, storage_reader=dcp.FileSystemReader(place))
    return bool(torch.equal(loaded["model"]["weight"], _state(1.0)["model"]["weight"])) and loaded["model"]["step"] == 7


def check_a_checkpoint_can_be_saved_and_loaded(make_world: MakeWorld, place: Path) -> None:
    """DCP's ``save`` and ``load`` work in the world."""
    assert _values(make_world(3).run(_save_and_load, str(place))) == [True] * 3


class _FailingWriter(dcp.FileSystemWriter):
    def __init__(self, place: str, error: Exception) -> None:
        super().__init__(place, sync_files=False)
        self._error = error

    def write_data(self, plan: Any, planner: Any) -> Any:
        if dist.get_rank() == 1:
            raise self._error
        return super().write_data(plan, planner)


def _save_with_a_failing_write(place: str) -> list[int]:
    try:
        dcp.save(_state(1.0), storage_writer=_FailingWriter(place, OSError(5, "Input/output error")))
    except CheckpointException as error:
        return sorted(error.failures)
    return []


def check_a_failed_write_reaches_every_rank(make_world: MakeWorld, place: Path) -> None:
    """An error on one rank becomes a ``CheckpointException`` on all ranks that names the failed rank."""
    assert _values(make_world(4).run(_save_with_a_failing_write, str(place))) == [[1]] * 4


def _unpicklable() -> Exception:
    error = ValueError("cannot cross ranks")
    error.handle = lambda: None  # type: ignore[attr-defined]
    return error


def _save_with_an_unpicklable_error(place: str) -> None:
    dcp.save(_state(1.0), storage_writer=_FailingWriter(place, _unpicklable()))


def check_an_error_that_cannot_be_pickled_hangs_the_others(make_world: MakeWorld, place: Path) -> None:
    """A known bug of DCP shows as a hang of the other ranks, at the line of DCP where they wait."""
    results = make_world(3).run(_save_with_an_unpicklable_error, str(place))
    assert _outcomes(results) == ["hung", "raised", "hung"], results
    assert results[0].wait is not None
    assert results[0].wait.source.startswith("torch/distributed/checkpoint/utils.py:"), results[0].wait
    assert results[0].wait.source.endswith(" in gather_object"), results[0].wait
