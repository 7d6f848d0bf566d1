"""A rank's part in a way of calling: its group, what it passes to the engine, and the state that it has within the group."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch.distributed as dist

from ckpt_harness.cases.case import Case
from ckpt_harness.engines.base import Call
from ckpt_harness.faults.protocol import Group
from ckpt_harness.workloads.context import Context, context_here


@dataclass(frozen=True)
class Part:
    """What a rank is in an operation.

    Attributes:
        number: which of the groups it belongs to, from 0: each has a place of its own.
        owner: whose state it has: that of its group or, where each rank commits for itself, its own.
        group: that group.
        call: how it calls the engine.
        alone: whether its state is that of one rank by itself.
    """

    number: int
    owner: int
    group: Group
    call: Call
    alone: bool

    def context(self, save: int | None) -> Context:
        """For whom the rank makes a state: what each group stores can be told from what the others do.

        Args:
            save: number of the save whose values it holds; None for an empty target.
        """
        return context_here(save, len(self.group.ranks), owner=self.owner, group=self.call.group, alone=self.alone)


@contextlib.contextmanager
def joined(case: Case, rank: int, timeout: float) -> Iterator[Part | None]:
    """Has the calling rank take its part; every rank of the world calls it.

    Process groups that the way needs are made here, and destroyed at the end: nobody leaves before all who use one are done with it.

    Args:
        case: says in which way.
        rank: the calling rank, of the world.
        timeout: of the collectives of such groups, in seconds.

    Yields:
        The part, or None for a rank that takes none.
    """
    way, groups = case.call_style, case.groups()
    own: list[Any] = [None] * len(groups)
    if way.process_group == "own":
        own = [dist.new_group(list(group.ranks), timeout=dt.timedelta(seconds=timeout)) for group in groups]
    part = None
    for number, group in enumerate(groups):
        if rank in group.ranks:
            call = Call(case.coordinator, own[number], no_dist=way.no_dist, use_collectives=way.use_collectives)
            owner = number if way.use_collectives else group.within(rank)
            part = Part(number, owner, group, call, way.alone)
    yield part
    if part is not None and part.call.group is not None:
        dist.destroy_process_group(part.call.group)
