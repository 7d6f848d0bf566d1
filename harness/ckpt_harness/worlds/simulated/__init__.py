"""Ranks as threads of one process, of which one runs at a time, in virtual time; see :class:`SimulatedWorld`."""

from ckpt_harness.worlds.simulated.world import SimulatedWorld

__all__ = ["SimulatedWorld"]
