"""A rank's membership in a group: its process group, the arguments that it passes to the engine, and its state within the group."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch.distributed as dist

from ckpt_harness.cases.binding import BoundCase
from ckpt_harness.engines.base import Call
from ckpt_harness.faults.protocol import Group
from ckpt_harness.workloads.context import Context, context_here


@dataclass(frozen=True)
class Member:
    """A rank as a member of its group.

    Attributes:
        number: index of the group; each group has a place of its own.
        owner: number that the tags of its state carry: the group's or, where each rank commits for itself, its own.
        group: the group.
        call: the arguments that it passes to the engine.
        alone: whether its state is that of one rank by itself.
        shards: into how many shards the state is cut.
    """

    number: int
    owner: int
    group: Group
    call: Call
    alone: bool
    shards: int

    def context(self, save: int | None) -> Context:
        """Returns the context in which the rank makes its state; the states of two groups differ in every element.

        Args:
            save: number of the save whose values the state holds; None for an empty target of a load.
        """
        return context_here(save, self.shards, owner=self.owner, group=self.call.group, alone=self.alone)


@contextlib.contextmanager
def joined(bound: BoundCase, rank: int, timeout: float, coordinator: int | None = None) -> Iterator[Member | None]:
    """Joins the calling rank to its group. Every rank of the world calls this.

    Process groups that the call style needs are made here and destroyed at the end. Nobody leaves before all ranks are done with them.

    Args:
        bound: the case.
        rank: the calling rank, of the world.
        timeout: seconds that a collective of such a process group waits.
        coordinator: the rank, within its group, that coordinates; by default that of the case.

    Yields:
        The membership, or None for a rank that takes no part.
    """
    process_groups: list[Any] = [None] * len(bound.groups)
    if bound.call_style.process_group == "own":
        limit = dt.timedelta(seconds=timeout)
        process_groups = [dist.new_group(list(group.ranks), timeout=limit) for group in bound.groups]
    member = None
    for number, group in enumerate(bound.groups):
        if rank in group.ranks:
            member = _member(bound, number, rank, process_groups[number], coordinator)
    yield member
    if member is not None and member.call.group is not None:
        dist.destroy_process_group(member.call.group)


def _member(bound: BoundCase, number: int, rank: int, process_group: Any, coordinator: int | None) -> Member:
    style = bound.call_style
    group = bound.groups[number]
    call = Call(
        coordinator=bound.case.coordinator if coordinator is None else coordinator,
        group=process_group,
        no_dist=style.no_dist,
        use_collectives=style.use_collectives,
    )
    owner = number if style.use_collectives else group.within(rank)
    shards = len(group.ranks) if bound.shards is None else bound.shards
    return Member(number, owner, group, call, style.alone, shards)
