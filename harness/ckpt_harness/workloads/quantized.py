"""State of a quantized weight: stored with scales, loaded without."""

from __future__ import annotations

import torch

from ckpt_harness.workloads.context import Context, State
from ckpt_harness.workloads.plain import TaggedWeights, replicated
from ckpt_harness.workloads.sharded import sharded
from ckpt_harness.workloads.tags import Tag


def quantized(context: Context) -> State:
    """A weight that is stored with a scale for each block of two by two elements, and loaded dequantized.

    Readers compute in float32, so each tag must fit into 24 bits: it carries the element's number as its key, and index 0. The scales are powers of
    two, so that nothing is rounded, and never 1, so that a weight that was not multiplied by its scale has a wrong tag.
    """
    rows, columns = 5, 3
    weight = torch.full((rows, columns), float("nan"), dtype=torch.float64)
    if context.save is not None:
        values = [Tag(context.save, context.owner, 2 * number, 0).encode() for number in range(1, rows * columns + 1)]
        weight = torch.tensor(values, dtype=torch.float64).view(rows, columns)
    scales = torch.tensor([[0.5, 2.0], [0.25, 4.0], [2.0, 0.5]], dtype=torch.float64)
    others = {**replicated(context), **sharded(context), "module": TaggedWeights(context)}
    if context.as_loaded:
        return {**others, "layer.weight": weight}
    weight /= scales.repeat_interleave(2, 0)[:rows].repeat_interleave(2, 1)[:, :columns]
    return {**others, "layer.weight": weight, "layer.weight_scale_inv": scales}
