"""The leaves of a state: listed with their names, compared, and overwritten in place."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch.distributed.tensor import DTensor

from ckpt_harness._torch import is_sharded_tensor, is_stateful, local_shards
from ckpt_harness.workloads.plain import DTYPES, TaggedModule
from ckpt_harness.workloads.tags import Tag


def leaves(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    """The leaves of a state with their names; of a sharded tensor, the local shards."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(f"{prefix}.{key}" if prefix else str(key), inner)
    elif is_stateful(value):
        yield from leaves(prefix, value.state_dict())
    elif isinstance(value, list) and any(isinstance(one, torch.Tensor) for one in value):
        for index, inner in enumerate(value):
            yield from leaves(f"{prefix}[{index}]", inner)
    elif is_sharded_tensor(value):
        for offset, shard in local_shards(value):
            yield f"{prefix}@{offset}", shard
    elif isinstance(value, DTensor):
        yield prefix, value.to_local()
    elif isinstance(value, torch.Tensor) and value.dtype in DTYPES:
        yield prefix, value.view(torch.float64)
    else:
        yield prefix, value


def saves_of(value: Any) -> set[int]:
    """The saves that a leaf tells of; objects hold their number, alone or in a list."""
    if isinstance(value, torch.Tensor):
        tags = (Tag.decode(element) for element in value.flatten().tolist())
        return {tag.save for tag in tags if tag is not None}
    return {one for one in (value if isinstance(value, list) else [value]) if isinstance(one, int)}


def overlap(actual: Any, theirs: Any) -> bool:
    """Whether a leaf holds, wholly or in part, the values of another."""
    if isinstance(theirs, torch.Tensor):
        return isinstance(actual, torch.Tensor) and actual.shape == theirs.shape and bool((actual == theirs).any())
    return bool(actual == theirs)


def difference(actual: Any, expected: torch.Tensor) -> str:
    """What a tensor holds instead of what it should: never filled, another save's, another rank's, or noise."""
    if not isinstance(actual, torch.Tensor) or actual.shape != expected.shape or actual.dtype != expected.dtype:
        return f"{type(actual).__name__} {getattr(actual, 'shape', '')} instead of {tuple(expected.shape)}"
    wrong = [(have, want) for have, want in zip(actual.flatten().tolist(), expected.flatten().tolist(), strict=True) if have != want]
    have, want = wrong[0]
    shown = "NaN (never filled)" if math.isnan(have) else str(Tag.decode(have) or have)
    return f"{len(wrong)} of {expected.numel()} elements, first {shown} instead of {Tag.decode(want)}"


def overwrite(target: Any, source: Any) -> None:
    """Copies into tensors, and replaces everything else where it is kept."""
    if isinstance(target, TaggedModule):
        target.weight.copy_(source.weight)
        target.counter = source.counter
    elif is_sharded_tensor(target):
        for (_, mine), (_, theirs) in zip(local_shards(target), local_shards(source), strict=True):
            mine.copy_(theirs)
    elif is_stateful(target):
        overwrite(target.state_dict(), source.state_dict())
    elif isinstance(target, DTensor):
        target.to_local().copy_(source.to_local())
    elif isinstance(target, (dict, list)):
        for key, value in source.items() if isinstance(source, dict) else enumerate(source):
            if isinstance(value, (torch.Tensor, dict, list)) or is_stateful(value) or is_sharded_tensor(value):
                overwrite(target[key], value)
            else:
                target[key] = value
    else:
        target.copy_(source)
