"""States of plain tensors and objects, which every rank holds in full."""

from __future__ import annotations

import torch

from ckpt_harness.workloads.context import Context, State

COUNT = 5
"""Elements of a replicated tensor. Odd, since uneven sizes find more bugs; small, since every element costs time."""

DTYPES = (torch.bfloat16, torch.float16, torch.int8, torch.int32, torch.complex64)
"""The dtypes in workload ``kinds``, and in no other: a conversion between them would not preserve every bit of a tag."""


class TaggedModule:
    """A ``Stateful`` with a tensor and an object.

    Args:
        context: which values it holds.
    """

    def __init__(self, context: Context) -> None:
        self.weight = context.tensor(20, COUNT)
        self.counter = context.object(context.save)

    def state_dict(self) -> State:
        """Returns the state, without copying it."""
        return {"weight": self.weight, "counter": self.counter}

    def load_state_dict(self, state_dict: State) -> None:
        """Replaces the state by the loaded one."""
        self.weight, self.counter = state_dict["weight"], state_dict["counter"]


class TaggedWeights:
    """A ``Stateful`` with a tensor only.

    Args:
        context: which values it holds.
    """

    def __init__(self, context: Context) -> None:
        self.weight = context.tensor(21, COUNT)

    def state_dict(self) -> State:
        """Returns the state, without copying it."""
        return {"weight": self.weight}

    def load_state_dict(self, state_dict: State) -> None:
        """Replaces the state by the loaded one."""
        self.weight = state_dict["weight"]


def replicated(context: Context) -> State:
    """A tensor that every rank holds in full, with the same values."""
    return {"replicated": context.tensor(1, COUNT)}


def divergent(context: Context) -> State:
    """Tensors that should be the same on every rank and are not: each carries the rank that holds it."""
    return {f"diverged {key}": context.tensor(40 + key, COUNT, whose=context.rank) for key in range(3)}


def nested(context: Context) -> State:
    """Tensors inside dictionaries and lists."""
    layer = {"weight": context.tensor(10, COUNT), "bias": context.tensor(11, 2)}
    return {"model": {"layer": layer, "list": [context.tensor(12, 1), context.tensor(13, 1)]}}


def objects(context: Context) -> State:
    """Values that are pickled: numbers, text, None, lists."""
    # Many objects, so that each of two ranks has more of them than a writer has threads.
    many = {f"counter {number}": context.object(context.save) for number in range(8)}
    return {"epoch": context.object(context.save), "notes": context.object([context.save, "naïve", None]), **many}


def kinds(context: Context) -> State:
    """Tensors of every dtype in :data:`DTYPES`, a scalar, an empty tensor, and a view of a part of a storage; the bits of all are tags."""
    part = torch.zeros(8, dtype=torch.float64)[3:]
    part.copy_(context.tensor(60, 5))
    bits = {str(dtype).removeprefix("torch."): context.tensor(70 + key, 2).view(dtype) for key, dtype in enumerate(DTYPES)}
    return {**bits, "scalar": context.tensor(62, 1).view(()), "empty": context.tensor(63, 0), "part": part}


def stateful(context: Context) -> State:
    """An object with ``state_dict`` and ``load_state_dict``."""
    return {"module": TaggedModule(context)}


def nested_stateful(context: Context) -> State:
    """A ``Stateful`` inside a dictionary, beside a tensor."""
    return {"app": {"module": TaggedModule(context), "rate": context.tensor(22, 1)}}


def on_the_gpu(context: Context) -> State:
    """Tensors on the current GPU, and an object."""
    return {"weight": context.tensor(30, COUNT).cuda(), "layers": [context.tensor(31, 2).cuda()], "epoch": context.object(context.save)}
