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
"""(key, count) -> that many values, flat."""


def fsdp2(context: Context) -> State:
    """A model under FSDP2 and the state of its Adam optimizer, as a ``Stateful``."""
    rate = float(context.save or 0)
    return {"app": TrainedModel(2 * context.shards + 1, context.tensor, rate, grouped=context.grouped, group=context.group)}


class TrainedModel:
    """A ``Stateful``: two layers under FSDP2, and the state of Adam, as applications hand them to DCP; without a group, the plain model.

    Args:
        width: of the inner layer; uneven over the ranks, and the outer layer is too narrow for many.
        values: what everything is filled with.
        rate: the learning rate, which is stored as an object.
        grouped: whether a process group is there.
        group: the process group; None for the default one.
    """

    def __init__(self, width: int, values: Values, rate: float, *, grouped: bool, group: Any = None) -> None:
        layers = (torch.nn.Linear(*size, dtype=torch.float64, device="meta") for size in ((3, width), (width, 2)))
        self.model = torch.nn.Sequential(*layers).to_empty(device="cpu")  # no random numbers are drawn for it
        if grouped:
            self._shard(group)
        self.optimizer = torch.optim.Adam(self.model.parameters(), lr=rate)
        self.state_dict()  # gives the optimizer its state
        for number, parameter in enumerate(self.model.parameters()):
            state = self.optimizer.state[parameter]
            state["step"] = values(90 + number, 1).view(())
            for key, tensor in ((60, parameter), (70, state["exp_avg"]), (80, state["exp_avg_sq"])):
                _fill(tensor.detach(), values(key + number, tensor.numel()))

    def _shard(self, group: Any) -> None:
        from torch.distributed.fsdp import fully_shard  # takes a second to import

        # Not mesh_of(): FSDP2 asks its mesh for a group; it gets the one that is there, and none is made.
        everybody: Any = dist.group.WORLD
        mesh = DeviceMesh.from_group(everybody if group is None else group, "cpu")
        for layer in (*self.model.children(), self.model):
            fully_shard(layer, mesh=mesh)

    def state_dict(self) -> dict[str, Any]:
        """Model and optimizer, by reference."""
        from torch.distributed.checkpoint.state_dict import get_state_dict

        model, optimizer = get_state_dict(self.model, self.optimizer)
        return {"model": model, "optimizer": optimizer}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Takes the loaded state."""
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
