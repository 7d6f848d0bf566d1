"""The layout of a state: the dtype, shape and sharding of each tensor. A comparison of bits alone may take two tensors of different dtypes for equal."""

from __future__ import annotations

from typing import Any

from torch.distributed.tensor import DTensor

from ckpt_harness._torch import is_sharded_tensor, local_shards
from ckpt_harness.workloads.checkpointable import stated_parts
from ckpt_harness.workloads.context import State
from ckpt_harness.workloads.leaves import entries, form


def layout(value: Any) -> str:
    """The layout of a tensor, or the class of any other value, in words.

    Example:
        >>> import torch
        >>> layout(torch.zeros(2, 3, dtype=torch.float16))
        'torch.float16 (2, 3)'
    """
    text = form(value)
    if is_sharded_tensor(value):
        return f"ShardedTensor {text} with shards {[(offset, tuple(shard.shape)) for offset, shard in local_shards(value)]}"
    if isinstance(value, DTensor):
        return f"DTensor {text} as {value.placements} on a mesh of {tuple(value.device_mesh.shape)}"
    stated = stated_parts(value)
    if stated:
        return f"{text} with parts at {[part.offset for part in stated]}"
    return text


def relaid(actual: State, expected: State) -> list[str]:
    """Compares the layout of a loaded state with the layout that it should have.

    Args:
        actual: the loaded state.
        expected: a state with the right layout, whatever its values.

    Returns:
        For each entry with another layout, a line with both; entries that only one of the states has are left out.

    Example:
        >>> import torch
        >>> relaid({"bits": torch.zeros(2, dtype=torch.float16)}, {"bits": torch.zeros(2, dtype=torch.bfloat16)})
        ['bits: torch.float16 (2,) instead of torch.bfloat16 (2,)']
    """
    loaded = dict(entries("", actual))
    lines = []
    for name, value in entries("", expected):
        if name in loaded and layout(loaded[name]) != layout(value):
            lines.append(f"{name}: {layout(loaded[name])} instead of {layout(value)}")
    return lines
