"""For which rank, and which save, a state is built."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from ckpt_harness.workloads.tags import Tag

State = dict[str, Any]
UNFILLED = "<unfilled>"
"""What objects of a load target hold until they are loaded."""


@dataclass(frozen=True)
class Context:
    """For whom a state is made.

    Attributes:
        rank: the rank within the group.
        size: number of ranks.
        save: number of the save whose values it holds, from 1; None for an empty target.
        grouped: whether a process group is there.
        shards: into how many shards of its own size the state was cut when it was saved; a load may be by another number of ranks.
        owner: whose state it is, of several that are saved at once: every element carries it.
        group: the process group, where it is not the default one.
        loading: whether it is laid out as it is loaded, which is not always as it was saved; an empty target always is.
    """

    rank: int
    size: int
    save: int | None
    grouped: bool
    shards: int
    owner: int = 0
    group: Any = None
    loading: bool = False

    @property
    def as_loaded(self) -> bool:
        """Whether the state is laid out as it is loaded."""
        return self.loading or self.save is None

    def tensor(self, key: int, count: int, start: int = 0, *, whose: int | None = None) -> torch.Tensor:
        """``count`` float64 tags from index ``start``, that name the owner or, on purpose, somebody else; NaN in an empty target."""
        if self.save is None:
            return torch.full((count,), float("nan"), dtype=torch.float64)
        values = [Tag(self.save, self.owner if whose is None else whose, key, start + index).encode() for index in range(count)]
        return torch.tensor(values, dtype=torch.float64)

    def object(self, value: Any) -> Any:
        """``value``, or the sentinel in an empty target."""
        return UNFILLED if self.save is None else value


def context_here(save: int | None, shards: int, *, owner: int = 0, group: Any = None, alone: bool = False) -> Context:
    """The context of the calling rank, read from its process group.

    Args:
        save: number of the save whose values it holds; None for an empty target.
        shards: into how many shards the state is cut.
        owner: whose state it is, of several.
        group: the process group; None for the default one.
        alone: whether the rank's state knows nothing of a group, even if there is one.
    """
    grouped = not alone and dist.is_available() and dist.is_initialized()
    rank, size = (dist.get_rank(group), dist.get_world_size(group)) if grouped else (0, 1)
    return Context(rank, size, save, grouped, shards, owner, group)
