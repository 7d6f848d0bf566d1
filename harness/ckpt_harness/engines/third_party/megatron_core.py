"""Megatron-core's ``torch_dist`` strategy: saves like those of NVIDIA's resiliency extension, with a different end.

After the commit, the coordinator broadcasts whether any rank has failed, in a tensor on the current CUDA device. Without such a device, the tensor is on the
CPU. Everything else is as in :mod:`ckpt_harness.engines.third_party.nvidia_resiliency_ext`.

Not modelled: Megatron's sharded tensors and planner, and its strategy's cached plans.
"""

from __future__ import annotations

from typing import Any

import torch

from ckpt_harness.engines.base import Call
from ckpt_harness.engines.third_party.nvidia_resiliency_ext import WrittenApartEngine


class MegatronCoreEngine(WrittenApartEngine):
    """The functions of ``megatron.core.dist_checkpointing`` that its strategy calls."""

    def save(self, state: dict[str, Any], writer: Any, planner: Any, place: str, call: Call) -> None:
        """Plans, writes and commits; without a CUDA device, on the CPU."""
        if not torch.cuda.is_available():
            torch.cuda.current_device = _cpu
        super().save(state, writer, planner, place, call)

    def planned(self, returned: Any) -> Any:
        """Returns the first of the returned values; the others are for caching."""
        return returned[0]


def _cpu() -> Any:
    """Replaces ``torch.cuda.current_device`` for good, since another simulated rank may be in the middle of a save."""
    return torch.device("cpu")


MEGATRON_CORE = MegatronCoreEngine(
    "megatron-core", "Megatron-core: FileSystemWriterAsync with its planning and commit; the rank itself writes", "megatron.core.dist_checkpointing.strategies"
)
