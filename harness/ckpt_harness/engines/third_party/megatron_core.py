"""Megatron-core's ``torch_dist`` strategy: the saves that NVIDIA's resiliency extension has as well, with another end.

Once the coordinator has committed, it tells all ranks by a tensor on the current CUDA device whether one has failed. Where there is no such device, the tensor
is on the CPU; everything else is as in :mod:`ckpt_harness.engines.third_party.nvidia_resiliency_ext`.

Not modelled: Megatron's sharded tensors and planner, and what its strategy does with plans that it has cached.
"""

from __future__ import annotations

from typing import Any

import torch

from ckpt_harness.engines.base import Call
from ckpt_harness.engines.third_party.nvidia_resiliency_ext import WrittenApartEngine


class MegatronCoreEngine(WrittenApartEngine):
    """``megatron.core.dist_checkpointing`` below its strategy."""

    def save(self, state: dict[str, Any], writer: Any, planner: Any, place: str, call: Call) -> None:
        """Plans, writes and commits, with the CPU standing in for a CUDA device."""
        if not torch.cuda.is_available():
            torch.cuda.current_device = _cpu
        super().save(state, writer, planner, place, call)

    def planned(self, returned: Any) -> Any:
        """The first of what is returned; the others are to be cached."""
        return returned[0]


def _cpu() -> Any:
    """The device on which ranks agree, for good: any rank of the process may be in the middle of a save."""
    return torch.device("cpu")


MEGATRON_CORE = MegatronCoreEngine(
    "megatron-core", "Megatron-core's FileSystemWriterAsync, likewise", "megatron.core.dist_checkpointing.strategies"
)
