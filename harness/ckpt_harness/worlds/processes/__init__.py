"""Ranks as operating system processes that are reused from case to case; see :class:`ProcessWorld`."""

from ckpt_harness.worlds.processes.turns import Turns
from ckpt_harness.worlds.processes.warm_ranks import Crews, shared
from ckpt_harness.worlds.processes.world import ProcessWorld

__all__ = ["Crews", "ProcessWorld", "Turns", "shared"]
