"""A trainer's checkpoint manager, in its first version: it makes room before it saves. The mended manager is in ../trainer."""

import shutil
from pathlib import Path

import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import CheckpointException


class CheckpointManager:
    """Keeps the last few checkpoints; the file ``latest`` names the newest complete checkpoint."""

    def __init__(self, root, keep=2):
        self.root, self.keep = Path(root), keep

    def save(self, step, state):
        """Returns whether the save succeeded; after a failed save, training goes on."""
        place = self.root / f"step-{step}"
        if dist.get_rank() == 0:
            for old in self._complete():  # room for the new one
                shutil.rmtree(self.root / old)
        try:
            dcp.save(state, checkpoint_id=place)
        except CheckpointException as error:
            why = {rank: cause for rank, (cause, _) in error.failures.items()}
            print(f"rank {dist.get_rank()}: no checkpoint of step {step}: {why}", flush=True)
            return False
        if dist.get_rank() == 0:
            self._point_at(place.name)
        dist.barrier()
        return True

    def resume(self, state):
        """Loads the newest complete checkpoint into ``state``; returns its step, or 0 without a checkpoint."""
        pointer = self.root / "latest"
        if not pointer.exists():
            return 0
        name = pointer.read_text()
        dcp.load(state, checkpoint_id=self.root / name)
        return int(name.removeprefix("step-"))

    def _point_at(self, name):
        pointer = self.root / "latest.new"
        pointer.write_text(name)
        pointer.replace(self.root / "latest")

    def _complete(self):
        names = [place.parent.name for place in self.root.glob("step-*/.metadata")]
        return sorted(names, key=lambda name: int(name.removeprefix("step-")))
