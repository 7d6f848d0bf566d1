"""Plain tensors that say which parts of a whole they hold: the protocol ``CheckpointableTensor`` of torch 2.14.

Each rank's tensor is a buffer. Four attributes say how large the whole is, where each part lies in the whole and in the buffer, and how large the part is.

Not modelled: a part on more than one rank, and parts of two whole tensors in a buffer.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from ckpt_harness.workloads.context import Context, State

_PER_RANK = 4
"""Elements of each rank's part of the tensor with padding."""

_PADDING = -1.0
"""What lies in a buffer ahead of the part. It is no tag, so it belongs to no save."""

_COLUMNS = 3
"""Columns of the tensor of which each rank holds two parts: so few that of four ranks or more some load nothing."""


class Part(NamedTuple):
    """A part of a whole tensor that a rank holds.

    Attributes:
        offset: where the part begins in the whole, in each dimension.
        local: where the part begins in the rank's buffer.
        size: its shape.
    """

    offset: tuple[int, ...]
    local: tuple[int, ...]
    size: tuple[int, ...]

    def within(self, tensor: torch.Tensor, start: Sequence[int]) -> torch.Tensor:
        """The view of a tensor that has the part's size and begins at ``start``: the part's place in the whole, or in the buffer.

        Args:
            tensor: the whole tensor, or the rank's buffer.
            start: :attr:`offset` or :attr:`local`.
        """
        return tensor[tuple(slice(first, first + length) for first, length in zip(start, self.size, strict=True))]


def checkpointable(context: Context) -> State:
    """A tensor in a buffer with padding, and a tensor of which each rank holds two parts; the latter is loaded by columns."""
    line = context.tensor(80, context.shards * _PER_RANK)
    rows = 2 * context.shards
    plane = context.tensor(81, rows * _COLUMNS).view(rows, _COLUMNS)
    if not context.grouped:
        return {"padded": line, "interleaved": plane}
    first, last = _share(len(line), context.rank, context.size)
    padded = stating(line, [Part((first,), (1,), (last - first,))], room=(1 + last - first,))
    return {"padded": padded, "interleaved": _by_columns(plane, context) if context.as_loaded else _by_rows(plane, context)}


def _by_rows(whole: torch.Tensor, context: Context) -> torch.Tensor:
    """Two blocks of rows of the whole: the first from its upper half, the second from its lower half."""
    parts, used = [], 0
    for block in (context.rank, context.size + context.rank):
        first, last = _share(len(whole), block, 2 * context.size)
        parts.append(Part((first, 0), (used, 0), (last - first, _COLUMNS)))
        used += last - first
    return stating(whole, parts, room=(used, _COLUMNS))


def _by_columns(whole: torch.Tensor, context: Context) -> torch.Tensor:
    """One block of columns of the whole, which is empty on some ranks if there are more ranks than columns."""
    first, last = _share(_COLUMNS, context.rank, context.size)
    size = (len(whole), last - first)
    return stating(whole, [Part((0, first), (0, 0), size)], room=size)


def _share(count: int, number: int, shares: int) -> tuple[int, int]:
    """First and last index of a share if ``count`` elements are split as evenly as possible."""
    return number * count // shares, (number + 1) * count // shares


def stating(whole: torch.Tensor, parts: Sequence[Part], room: tuple[int, ...]) -> torch.Tensor:
    """Makes a rank's buffer, filled with its parts of the whole, and states which parts these are.

    Args:
        whole: the whole tensor.
        parts: the rank's parts.
        room: the shape of the buffer.
    """
    buffer = torch.full(room, _PADDING, dtype=whole.dtype)
    for part in parts:
        part.within(buffer, part.local).copy_(part.within(whole, part.offset))
    return state_parts(buffer, tuple(whole.shape), parts)


def state_parts(buffer: torch.Tensor, shape: tuple[int, ...], parts: Sequence[Part]) -> torch.Tensor:
    """Sets the attributes of the protocol; returns the buffer.

    Args:
        buffer: a rank's tensor.
        shape: the shape of the whole.
        parts: what the rank says about its parts, right or wrong.
    """
    stated = {
        "global_shape": shape,
        "global_offsets": tuple(part.offset for part in parts),
        "local_offsets": tuple(part.local for part in parts),
        "local_sizes": tuple(part.size for part in parts),
    }
    for name, value in stated.items():
        setattr(buffer, name, value)  # a plain tensor; the type checker knows no such attributes
    return buffer


def stated_parts(value: object) -> list[Part]:
    """The parts that a tensor says it holds; empty for a value that says nothing.

    Example:
        >>> [part.offset for part in stated_parts(state_parts(torch.zeros(2), (6,), [Part((4,), (0,), (2,))]))]
        [(4,)]
    """
    if not (isinstance(value, torch.Tensor) and hasattr(value, "global_shape")):
        return []
    stated = vars(value)
    return [Part(*numbers) for numbers in zip(stated["global_offsets"], stated["local_offsets"], stated["local_sizes"], strict=True)]
