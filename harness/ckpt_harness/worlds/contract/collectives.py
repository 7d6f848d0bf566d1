"""Collectives carry data, within sub-groups too, and faults are consulted before them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from ckpt_harness.errors import InjectedFault
from ckpt_harness.runtime import current
from ckpt_harness.worlds.contract.bodies import MakeWorld, gather_to_0, outcomes, values

T = TypeVar("T")


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
    for rank, got in enumerate(values(make_world(3).run(_collect))):
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
    assert values(make_world(4).run(_sum_in_halves)) == [1.0, 1.0, 5.0, 5.0]


class FailingAt:
    """Fails a collective on a rank. It is a :class:`ckpt_harness.worlds.base.Faults` that can be pickled and sent to another process."""

    def __init__(self, site: str, rank: int) -> None:
        self.site, self.rank = site, rank

    def call(self, site: str, function: Callable[..., T], *args: Any) -> T:
        """Raises at the site on the rank; everywhere else, calls the function."""
        if site == self.site and current().rank() == self.rank:
            raise InjectedFault(site)
        return function(*args)


def check_faults_are_consulted_before_a_collective(make_world: MakeWorld) -> None:
    """A fault at ``pg.gather`` fails the call on its rank, and the root then waits for that rank."""
    results = make_world(2).run(gather_to_0, faults=FailingAt("pg.gather", 1))
    assert outcomes(results) == ["hung", "raised"], results
    assert isinstance(results[1].record and results[1].record.type_name, str)
