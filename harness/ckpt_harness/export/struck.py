"""A fault that struck, and where: what a script has to show."""

from __future__ import annotations

from dataclasses import dataclass

from ckpt_harness.faults.fault import Fault


@dataclass(frozen=True)
class Struck:
    """A fault, and the ranks that it struck.

    Attributes:
        fault: the fault.
        ranks: the ranks, sorted.
    """

    fault: Fault
    ranks: tuple[int, ...]
