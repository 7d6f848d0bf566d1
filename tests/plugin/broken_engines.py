"""Engines with a bug, for replay lines to find: ``path/to/broken_engines.py:SECRETIVE``."""

from __future__ import annotations

import torch.distributed as dist
from torch.distributed.checkpoint import CheckpointException

from ckpt_harness.engines.filesystem import FileSystemEngine


class SecretiveEngine(FileSystemEngine):
    """Tells the coordinator alone that a save failed; the others report success."""

    def save(self, state, writer, planner, place, call):
        try:
            super().save(state, writer, planner, place, call)
        except CheckpointException:
            if dist.get_rank() == call.coordinator:
                raise


SECRETIVE = SecretiveEngine("secretive", "swallows errors on all ranks but the coordinator", sync_files=False)
