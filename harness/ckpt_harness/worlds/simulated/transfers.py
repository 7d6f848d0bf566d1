"""Data transfers of collectives, between the calls of the participating ranks.

Each function is a :data:`~ckpt_harness.worlds.simulated.patterns.Move`. Data is copied when both sides have arrived, which is when real ranks exchange
it. So no rank receives values that the sender wrote later.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.distributed as dist

from ckpt_harness import _torch
from ckpt_harness.worlds.simulated.patterns import Call, Move


def unit_of(tensors: Any, opts: Any = None) -> tuple[Any, ...]:
    """Returns what must be equal on all ranks: element type, number of elements, and the reduction, if any."""
    first = tensors[0] if tensors else None
    reduction = str(_kind(opts.reduceOp)) if opts is not None and hasattr(opts, "reduceOp") else ""
    return (str(first.dtype), sum(tensor.numel() for tensor in tensors), reduction) if first is not None else ("nothing", 0, reduction)


def _copy(target: torch.Tensor, source: torch.Tensor) -> None:
    """Copies without autograd, which does not track collectives."""
    target = target.detach()
    target.copy_(source.detach() if source.shape == target.shape else source.detach().reshape(target.shape))


def _each(calls: Sequence[Call], deliver: Callable[[Call], None]) -> None:
    """Delivers to every rank. A rank whose output tensor does not fit fails alone."""
    for call in calls:
        try:
            deliver(call)
        except Exception as error:  # noqa: BLE001  (any error of a tensor belongs to the rank that passed it)
            call.finish(error)


def nothing(calls: Sequence[Call]) -> None:
    """A barrier carries no data."""


@torch.no_grad()
def copy_from_source(calls: Sequence[Call]) -> None:
    """From the first call to the second: an edge of a broadcast tree, or a send."""
    source, target = calls
    for output, given in zip(target.outputs, source.inputs, strict=True):
        _copy(output, given)


@torch.no_grad()
def gather(calls: Sequence[Call]) -> None:
    """From a sender to the root."""
    root, sender = calls
    _copy(root.outputs[0][sender.rank], sender.inputs[0])


@torch.no_grad()
def scatter(calls: Sequence[Call]) -> None:
    """From the root to a receiver."""
    root, receiver = calls
    _copy(receiver.outputs[0], root.inputs[0][receiver.rank])


@torch.no_grad()
def all_gather(calls: Sequence[Call]) -> None:
    """The inputs of all ranks to all ranks; ``outputs[i]`` is the list, over ranks, for the i-th input."""
    sources = [[call.inputs[place].detach() for call in calls] for place in range(len(calls[0].inputs))]

    def deliver(call: Call) -> None:
        for outputs, given in zip(call.outputs, sources, strict=True):
            if outputs and outputs[0].shape == given[0].shape and len(outputs) == len(given):
                _torch.copy_all([output.detach() for output in outputs], given)
            else:
                for output, source in zip(outputs, given, strict=True):
                    _copy(output, source)

    _each(calls, deliver)


@torch.no_grad()
def all_to_all(calls: Sequence[Call]) -> None:
    """The r-th input of each rank to rank r."""
    inputs = [call.inputs for call in calls]

    def deliver(call: Call) -> None:
        for sender, output in enumerate(call.outputs):
            _copy(output, inputs[sender][call.rank])

    _each(calls, deliver)


def _kind(operation: Any) -> Any:
    return getattr(operation, "op", operation)


def _reduce(tensors: Sequence[torch.Tensor], operation: Any) -> torch.Tensor:
    """Reduces in rank order, so that rounding is the same in every run."""
    kind, reduced = _kind(operation), tensors[0].detach().clone()
    ops = dist.ReduceOp
    average = kind == ops.AVG
    functions: list[tuple[Any, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]]] = [
        (ops.SUM, torch.add),
        (ops.AVG, torch.add),
        (ops.PRODUCT, torch.mul),
        (ops.MIN, torch.minimum),
        (ops.MAX, torch.maximum),
        (ops.BAND, torch.bitwise_and),
        (ops.BOR, torch.bitwise_or),
        (ops.BXOR, torch.bitwise_xor),
    ]
    function = next((function for known, function in functions if kind == known), None)
    if function is None:
        raise NotImplementedError(f"reduction {kind} is not simulated")
    for tensor in tensors[1:]:
        reduced = function(reduced, tensor.detach())
    return reduced / len(tensors) if average else reduced


def reducing(operation: Any, everybody: bool) -> Move:
    """Reduces the i-th inputs of all ranks into the i-th output, on all ranks or on the root."""
    operation = dist.ReduceOp.SUM if operation is None else operation

    @torch.no_grad()
    def move(calls: Sequence[Call]) -> None:
        results = [_reduce([call.inputs[place] for call in calls], operation) for place in range(len(calls[0].inputs))]

        def deliver(call: Call) -> None:
            if everybody or call.rank == call.operation.root:
                for output, result in zip(call.outputs, results, strict=True):
                    _copy(output, result)

        _each(calls, deliver)

    return move


def reduce_scattering(opts: Any) -> Move:
    """Reduces the inputs that all ranks have for rank r into the output of rank r."""

    @torch.no_grad()
    def move(calls: Sequence[Call]) -> None:
        def deliver(call: Call) -> None:
            for place, output in enumerate(call.outputs):
                _copy(output, _reduce([source.inputs[place][call.rank] for source in calls], opts.reduceOp))

        _each(calls, deliver)

    return move
