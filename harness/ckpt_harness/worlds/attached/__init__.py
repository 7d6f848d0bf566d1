"""Ranks that a launcher started, such as torchrun or SLURM; see :class:`AttachedWorld`."""

from ckpt_harness.worlds.attached.serving import together
from ckpt_harness.worlds.attached.world import AttachedWorld, check_shared

__all__ = ["AttachedWorld", "check_shared", "together"]
