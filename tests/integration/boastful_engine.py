"""An engine that claims more than it keeps: a line that `ckpt-harness check` prints finds it by its file."""

from __future__ import annotations

import torch.distributed as dist
from torch.distributed.checkpoint import CheckpointException

from ckpt_harness.engines.filesystem import FileSystemEngine
from ckpt_harness.faults.protocol import Capability


class BoastfulEngine(FileSystemEngine):
    """DCP's own storage, with claims about crashes and damage; and only the coordinator learns that a save failed."""

    def __init__(self) -> None:
        super().__init__("boastful", "claims too much", sync_files=False)
        self.capabilities |= {Capability.DURABLE_COMMIT, Capability.ATOMIC_OVERWRITE, Capability.CHECKSUMS}

    def save(self, state, writer, planner, place, call):
        try:
            super().save(state, writer, planner, place, call)
        except CheckpointException:
            if dist.get_rank() == call.coordinator:
                raise


BOASTFUL = BoastfulEngine()
