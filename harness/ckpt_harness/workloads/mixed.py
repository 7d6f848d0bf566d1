"""States composed of several kinds, as a trainer's state is."""

from __future__ import annotations

from ckpt_harness.workloads.context import Context, State
from ckpt_harness.workloads.plain import TaggedWeights, nested, replicated, stateful
from ckpt_harness.workloads.sharded import sharded


def mixed(context: Context) -> State:
    """A replicated and a sharded tensor, an object, and a ``Stateful``."""
    return {**replicated(context), **sharded(context), "epoch": context.object(context.save), **stateful(context)}


def tensors(context: Context) -> State:
    """Replicated, sharded and nested tensors, and a ``Stateful``; no pickled objects, for engines that store tensors only."""
    return {**replicated(context), **sharded(context), **nested(context), "module": TaggedWeights(context)}
