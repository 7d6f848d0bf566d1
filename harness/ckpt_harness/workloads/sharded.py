"""States of tensors that are sharded over the ranks: a ``ShardedTensor``, and DTensors.

Meshes are made without process groups of their own: saving and loading never communicate over a mesh, and a rank that has failed could not
help to create a group.

Not modelled: training, tensors on devices, and tensor parallelism beside FSDP2.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Placement, Replicate, Shard

from ckpt_harness._torch import empty_sharded_tensor, interleaved_sharded_tensor, local_shards
from ckpt_harness.workloads.context import Context, State

_PER_SHARD = 3
"""Elements of each shard."""


def sharded(context: Context) -> State:
    """A ``ShardedTensor`` with one shard on each rank; a plain tensor of the same whole without a process group."""
    if not context.grouped:
        return {"sharded": context.tensor(2, context.shards * _PER_SHARD)}
    sharded = empty_sharded_tensor(context.shards * _PER_SHARD, context.group)
    for offset, shard in local_shards(sharded):
        shard.copy_(context.tensor(2, len(shard), offset))
    return {"sharded": sharded}


def interleaved(context: Context) -> State:
    """A ``ShardedTensor`` with two shards on each rank, from both halves of the whole."""
    whole = context.tensor(3, context.shards * 2 * _PER_SHARD)
    return {"interleaved": interleaved_sharded_tensor(whole, context.group) if context.grouped else whole}


def dtensors(context: Context) -> State:
    """DTensors on a one- and a two-dimensional mesh, loaded with other placements than they are saved with."""
    rows, columns = 2 * context.shards + 1, 3
    wholes = [context.tensor(50 + key, rows * columns).view(rows, columns) for key in range(3)]
    if not context.grouped:
        return {"line": wholes[0], "plane": wholes[1], "gathered": wholes[2]}
    line, plane = mesh_of(context.group), mesh_of(context.group, 1 + (context.size % 2 == 0))
    loaded = context.as_loaded
    return {
        "line": spread(wholes[0], line, [Shard(1 if loaded else 0)]),
        "plane": spread(wholes[1], plane, [Replicate(), Shard(0)] if loaded else [Shard(0), Shard(1)]),
        "gathered": spread(wholes[2], line, [Replicate() if loaded else Shard(0)]),
    }


def mesh_of(group: Any, rows: int = 0) -> DeviceMesh:
    """Makes a mesh of the ranks of a group, without a communicator.

    Args:
        group: the process group; None for the default group.
        rows: size of the first of two dimensions; 0 for a one-dimensional mesh.
    """
    ranks = torch.tensor(dist.get_process_group_ranks(group))
    # torch makes its own sub-meshes with this experimental argument.
    return DeviceMesh("cpu", ranks.view(rows, -1) if rows else ranks, _init_backend=False)


def part_of(whole: torch.Tensor, mesh: DeviceMesh, placements: Sequence[Placement]) -> torch.Tensor:
    """Returns the calling rank's part of a tensor, sharded as DTensor does: unevenly, and empty on the last ranks if there are too few rows."""
    coordinate = mesh.get_coordinate()
    assert coordinate is not None, "only ranks of the mesh call this"
    for position, size, placement in zip(coordinate, mesh.shape, placements, strict=True):
        if isinstance(placement, Shard):
            chunks = whole.chunk(size, placement.dim)
            whole = chunks[position] if position < len(chunks) else whole.narrow(placement.dim, 0, 0)
        else:
            assert isinstance(placement, Replicate), "workloads use no partial placements"
    return whole.contiguous()


def spread(whole: torch.Tensor, mesh: DeviceMesh, placements: Sequence[Placement]) -> DTensor:
    """Makes a DTensor without a collective: each rank has the whole tensor, and keeps its own part."""
    local = part_of(whole, mesh, placements).clone()
    return DTensor.from_local(local, mesh, placements, run_check=False, shape=whole.shape, stride=whole.stride())
