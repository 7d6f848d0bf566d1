"""The leaves of a state: listed with their names, compared, and overwritten in place."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch.distributed.tensor import DTensor

from ckpt_harness._torch import is_sharded_tensor, is_stateful, local_shards
from ckpt_harness.workloads.checkpointable import stated_parts
from ckpt_harness.workloads.context import UNFILLED
from ckpt_harness.workloads.plain import DTYPES, TaggedModule
from ckpt_harness.workloads.tags import Tag


def entries(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yields (name, value) for each tensor or object below a value; a sharded tensor is one of them.

    Example:
        >>> list(entries("", {"model": {"step": 3}, "epochs": [1, 2]}))
        [('model.step', 3), ('epochs', [1, 2])]
    """
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from entries(f"{prefix}.{key}" if prefix else str(key), inner)
    elif is_stateful(value):
        yield from entries(prefix, value.state_dict())
    elif isinstance(value, list) and any(isinstance(item, torch.Tensor) for item in value):
        for index, inner in enumerate(value):
            yield from entries(f"{prefix}[{index}]", inner)
    else:
        yield prefix, value


def leaves(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yields (name, value) for each leaf below a value; for a sharded tensor, the local shards; for a tensor that states its parts, each part.

    Tensors of :data:`ckpt_harness.workloads.plain.DTYPES` are viewed as float64, so that their elements can be decoded as tags.

    Example:
        >>> list(leaves("", {"step": 3, "weight": torch.zeros(4, dtype=torch.int32)}))
        [('step', 3), ('weight', tensor([0., 0.], dtype=torch.float64))]
    """
    for name, entry in entries(prefix, value):
        if is_sharded_tensor(entry):
            for offset, shard in local_shards(entry):
                yield f"{name}@{offset}", shard
        elif isinstance(entry, DTensor):
            yield name, entry.to_local()
        elif isinstance(entry, torch.Tensor) and (parts := stated_parts(entry)):
            for part in parts:
                yield f"{name}@{part.offset}", part.within(entry, part.local)
        elif isinstance(entry, torch.Tensor) and entry.dtype in DTYPES:
            yield name, entry.view(torch.float64)
        else:
            yield name, entry


def saves_of(value: Any) -> set[int]:
    """Returns the numbers of the saves that wrote a leaf. Objects hold the number itself, alone or in a list.

    Example:
        >>> saves_of([2, "naïve", None]), saves_of(torch.tensor([Tag(3, 0, 1, 0).encode(), 0.0, 1.0], dtype=torch.float64))
        ({2}, {3})
    """
    if isinstance(value, torch.Tensor):
        tags = (Tag.decode(element) for element in value.flatten().tolist())
        return {tag.save for tag in tags if tag is not None}
    items = value if isinstance(value, list) else [value]
    return {item for item in items if type(item) is int and item > 0}  # a bool is no number of a save


def unfilled(value: Any) -> bool:
    """Returns whether a leaf still holds, in whole or in part, the values of an empty target.

    Example:
        >>> unfilled(torch.tensor([1.0, float("nan")])), unfilled(UNFILLED), unfilled([1, None])
        (True, True, False)
    """
    if isinstance(value, torch.Tensor):
        return bool(value.is_floating_point() and value.isnan().any())
    return isinstance(value, str) and value == UNFILLED


def overlap(actual: Any, written: Any) -> bool:
    """Returns whether a leaf holds, in whole or in part, the values that a save wrote to it."""
    if isinstance(written, torch.Tensor):
        return isinstance(actual, torch.Tensor) and actual.shape == written.shape and bool((actual == written).any())
    return bool(actual == written)


def difference(actual: Any, expected: Any) -> str:
    """Describes what a leaf holds instead of the expected value; "" if they are equal.

    Example:
        >>> difference(2, 1)
        '2 instead of 1'
        >>> written = torch.tensor([Tag(save=2, rank=0, key=1, index=0).encode()], dtype=torch.float64)
        >>> difference(torch.zeros(1, dtype=torch.float64), written)
        '1 of 1 elements, first zero instead of Tag(save=2, rank=0, key=1, index=0)'
        >>> difference(torch.zeros(1), written)
        'torch.float32 (1,) instead of torch.float64 (1,)'
    """
    if not isinstance(expected, torch.Tensor):
        return "" if actual == expected else f"{actual!r} instead of {expected!r}"
    if not isinstance(actual, torch.Tensor) or actual.shape != expected.shape or actual.dtype != expected.dtype:
        return f"{form(actual)} instead of {form(expected)}"
    if torch.equal(actual, expected):
        return ""
    return _elements(actual, expected)


def form(value: Any) -> str:
    """The dtype and shape of a tensor, or the class of any other value, in words.

    Example:
        >>> form(torch.zeros(2, 3, dtype=torch.float16)), form("text")
        ('torch.float16 (2, 3)', 'str')
    """
    return f"{value.dtype} {tuple(value.shape)}" if isinstance(value, torch.Tensor) else type(value).__name__


def _elements(actual: torch.Tensor, expected: torch.Tensor) -> str:
    """Describes how many elements differ, and the first of them: never filled, zero, of another save or rank, or a number that no save wrote."""
    pairs = zip(actual.flatten().tolist(), expected.flatten().tolist(), strict=True)
    wrong = [(have, want) for have, want in pairs if have != want]
    have, want = wrong[0]
    return f"{len(wrong)} of {expected.numel()} elements, first {_shown(have)} instead of {_shown(want)}"


def _shown(element: float) -> str:
    """What an element is, in words."""
    if math.isnan(element):
        return "NaN (never filled)"
    return "zero" if element == 0 else str(Tag.decode(element) or element)


def overwrite(target: Any, source: Any) -> None:
    """Copies ``source`` into ``target``: tensors in place, all other values by replacing them in their container."""
    if isinstance(target, TaggedModule):
        target.weight.copy_(source.weight)
        target.counter = source.counter
    elif is_sharded_tensor(target):
        for (_, into), (_, shard) in zip(local_shards(target), local_shards(source), strict=True):
            into.copy_(shard)
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
