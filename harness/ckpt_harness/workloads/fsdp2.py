"""State of a model under FSDP2 and of its optimizer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor

from ckpt_harness.workloads.context import Context, State
from ckpt_harness.workloads.sharded import part_of

Values = Callable[[int, int], torch.Tensor]
"""(key, count) -> a flat tensor of ``count`` values."""


def fsdp2(context: Context) -> State:
    """A model under FSDP2 and the state of its Adam optimizer, as a ``Stateful``."""
    rate = float(context.save or 0)
    return {"app": TrainedModel(2 * context.shards + 1, context.tensor, rate, grouped=context.grouped, group=context.group)}


class TrainedModel:
    """A ``Stateful`` with a model of two layers under FSDP2 and its Adam optimizer, as applications pass them to DCP.

    Without a process group, the model is not sharded.

    Args:
        width: width of the inner layer. It does not divide evenly among the ranks, and the outer layer has fewer rows than many worlds have ranks.
        values: makes the values of every parameter and of every tensor of the optimizer.
        rate: the learning rate, which is stored as an object.
        grouped: whether there is a process group.
        group: the process group; None for the default group.
    """

    def __init__(self, width: int, values: Values, rate: float, *, grouped: bool, group: Any = None) -> None:
        layers = (torch.nn.Linear(*size, dtype=torch.float64, device="meta") for size in ((3, width), (width, 2)))
        self.model = torch.nn.Sequential(*layers).to_empty(device="cpu")  # "meta" first: initialization would draw random numbers
        if grouped:
            self._shard(group)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=rate)
        self.state_dict()  # creates the optimizer's state
        for number, parameter in enumerate(self.model.parameters()):
            state = self.optimizer.state[parameter]
            state["step"] = values(90 + number, 1).view(())
            for key, tensor in ((60, parameter), (70, state["exp_avg"]), (80, state["exp_avg_sq"])):
                _fill(tensor.detach(), values(key + number, tensor.numel()))

    def _shard(self, group: Any) -> None:
        from torch.distributed.fsdp import fully_shard  # takes a second to import

        # Not mesh_of(): FSDP2 needs a mesh with a process group. The mesh takes the existing group, and no group is created.
        everybody: Any = dist.group.WORLD
        mesh = DeviceMesh.from_group(everybody if group is None else group, "cpu")
        for layer in (*self.model.children(), self.model):
            fully_shard(layer, mesh=mesh)

    def state_dict(self) -> dict[str, Any]:
        """Returns the state of model and optimizer, without copying it."""
        from torch.distributed.checkpoint.state_dict import get_state_dict

        model, optimizer = get_state_dict(self.model, self.optimizer)
        return {"model": model, "optimizer": optimizer}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Loads the state into model and optimizer."""
        from torch.distributed.checkpoint.state_dict import set_state_dict

        set_state_dict(
            self.model, self.optimizer, model_state_dict=state_dict["model"], optim_state_dict=state_dict["optimizer"]
        )


def _fill(tensor: torch.Tensor, values: torch.Tensor) -> None:
    whole = values.view(tensor.shape)
    if isinstance(tensor, DTensor):
        tensor.to_local().copy_(part_of(whole, tensor.device_mesh, tensor.placements))
    else:
        tensor.copy_(whole)
