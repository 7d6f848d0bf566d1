"""What several checks of the contract share: bodies of ranks, and how they ended."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist

from ckpt_harness.runtime import current
from ckpt_harness.worlds.base import RankResult, World

MakeWorld = Callable[[int], World]
"""Makes a world of a number of ranks."""


def outcomes(results: Sequence[RankResult]) -> list[str]:
    """How each rank ended."""
    return [result.outcome for result in results]


def values(results: Sequence[RankResult]) -> list[Any]:
    """What the body returned on each rank; every rank must have returned."""
    assert outcomes(results) == ["returned"] * len(results), results
    return [result.value for result in results]


def who_am_i(greeting: str) -> tuple[str, int, int, int]:
    """Returns what it was given, and what its rank knows of itself."""
    return greeting, dist.get_rank(), dist.get_world_size(), current().rank()


def leave_one_behind() -> None:
    """Every rank but rank 1 waits for all."""
    if dist.get_rank() != 1:
        dist.barrier()


def gather_to_0() -> None:
    """Gathers a tensor to rank 0."""
    mine = torch.zeros(1)
    dist.gather(mine, [torch.zeros(1) for _ in range(dist.get_world_size())] if dist.get_rank() == 0 else None, dst=0)
