"""Ranks that state wrong parts: the save plan of a rank whose tensors say something false about which parts of a whole they hold.

Not modelled: two ranks whose wrong statements agree with each other, such as two parts that are exchanged. No engine can notice that.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch.distributed.checkpoint.metadata import ChunkStorageMetadata
from torch.distributed.checkpoint.planner import WriteItem, WriteItemType

from ckpt_harness.faults.effects import WrongResult


def misstated(plan: Any, effect: WrongResult) -> Any:
    """A rank's save plan with a wrong statement about its first part of a sharded tensor.

    Args:
        plan: the plan, which stays as it is.
        effect: ``gap`` leaves the part out, ``overlap`` makes it longer by one element, and ``shift`` moves it by one element.

    Returns:
        The changed plan; ``plan`` itself if the rank holds no part that is smaller than its whole.
    """
    for position, item in enumerate(plan.items):
        dimension = _split_dimension(item)
        if dimension is not None:
            changed = [] if effect.kind == "gap" else [_restated(item, dimension, longer=effect.kind == "overlap")]
            return dataclasses.replace(plan, items=[*plan.items[:position], *changed, *plan.items[position + 1 :]])
    return plan


def _split_dimension(item: WriteItem) -> int | None:
    """The first dimension in which an item is a part of its tensor; None for an object, a whole tensor, or an empty part."""
    if item.type is not WriteItemType.SHARD or item.tensor_data is None or 0 in item.tensor_data.chunk.sizes:
        return None
    lengths = zip(item.tensor_data.chunk.sizes, item.tensor_data.size, strict=True)
    return next((dimension for dimension, (part, whole) in enumerate(lengths) if part < whole), None)


def _restated(item: WriteItem, dimension: int, *, longer: bool) -> WriteItem:
    """An item whose part reaches one element further in a dimension: towards the end of the tensor or, at the end, towards its beginning."""
    assert item.tensor_data is not None, "only parts of tensors are restated"
    chunk = item.tensor_data.chunk
    offsets, sizes = list(chunk.offsets), list(chunk.sizes)
    at_the_end = offsets[dimension] + sizes[dimension] == item.tensor_data.size[dimension]
    if longer:
        sizes[dimension] += 1
    if at_the_end:
        offsets[dimension] -= 1
    elif not longer:
        offsets[dimension] += 1
    stated = ChunkStorageMetadata(torch.Size(offsets), torch.Size(sizes))
    index = dataclasses.replace(item.index, offset=stated.offsets)
    return dataclasses.replace(item, index=index, tensor_data=dataclasses.replace(item.tensor_data, chunk=stated))
