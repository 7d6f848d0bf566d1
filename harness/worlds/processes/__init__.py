"""Ranks as operating system processes that live from case to case; see :class:`ProcessWorld`."""

from harness.worlds.processes.crew import Crews, shared
from harness.worlds.processes.turns import Turns
from harness.worlds.processes.world import ProcessWorld

__all__ = ["Crews", "ProcessWorld", "Turns", "shared"]
