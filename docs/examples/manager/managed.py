"""A trainer's own checkpoint manager, as a job calls it."""

import torch.distributed.checkpoint as dcp
from checkpoints import CheckpointManager


class Managed:
    def __init__(self, directory):
        self.own = CheckpointManager(directory)

    def path(self, step):
        return self.own.root / f"step-{step}"

    def save(self, state, step):
        if not self.own.save(step, state):
            raise OSError(f"step {step} is not saved")

    def latest(self):
        pointer = self.own.root / "latest"
        return int(pointer.read_text().removeprefix("step-")) if pointer.exists() else None

    def load(self, state, step):
        dcp.load(state, checkpoint_id=self.path(step))
