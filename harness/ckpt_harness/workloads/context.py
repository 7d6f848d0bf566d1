"""The context of a state: the rank that holds it, the save whose values it has, and its layout."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

from ckpt_harness.workloads.tags import Tag

State = dict[str, Any]
UNFILLED = "<unfilled>"
"""What a load target holds in place of objects until they are loaded."""


@dataclass(frozen=True)
class Context:
    """Everything that the values and the layout of a state depend on.

    Attributes:
        rank: the rank within the group.
        size: the number of ranks.
        save: number of the save whose values the state holds, from 1; None for an empty load target.
        grouped: whether there is a process group.
        shards: the number of shards when the state was saved; the number of ranks that load may differ.
        owner: which of several states that are saved at the same time; every tag carries this number in place of the rank.
        group: the process group; None for the default group.
        loading: whether the state has the layout of a load, which may differ from that of a save; an empty target always has it.

    Example:
        >>> context = Context(rank=0, size=2, save=3, grouped=False, shards=2)
        >>> [Tag.decode(value).save for value in context.tensor(key=1, count=2).tolist()]
        [3, 3]
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
        """Whether the state has the layout of a load."""
        return self.loading or self.save is None

    def tensor(self, key: int, count: int, start: int = 0, *, whose: int | None = None) -> torch.Tensor:
        """Makes a float64 tensor of tags; of NaN in an empty target.

        Args:
            key: number of the entry within the workload.
            count: the number of elements.
            start: index of the first element within the whole tensor.
            whose: the rank that the tags name; None for :attr:`owner`.
        """
        if self.save is None:
            return torch.full((count,), float("nan"), dtype=torch.float64)
        return torch.tensor(_tags(self.save, self.owner if whose is None else whose, key, start, count), dtype=torch.float64)

    def object(self, value: Any) -> Any:
        """Returns ``value``, or the sentinel in an empty target."""
        return UNFILLED if self.save is None else value


@functools.lru_cache(maxsize=1024)  # each case makes the same few tensors several times
def _tags(save: int, rank: int, key: int, start: int, count: int) -> tuple[int, ...]:
    """The tags of successive elements."""
    return tuple(Tag(save, rank, key, start + index).encode() for index in range(count))


def context_here(save: int | None, shards: int, *, owner: int = 0, group: Any = None, alone: bool = False) -> Context:
    """Returns the context of the calling rank, read from its process group.

    Args:
        save: number of the save whose values the state holds; None for an empty load target.
        shards: the number of shards when the state is or was saved.
        owner: which of several states that are saved at the same time.
        group: the process group; None for the default group.
        alone: whether the state ignores the process group, even if there is one.
    """
    grouped = not alone and dist.is_available() and dist.is_initialized()
    rank, size = (dist.get_rank(group), dist.get_world_size(group)) if grouped else (0, 1)
    return Context(rank, size, save, grouped, shards, owner, group)
