"""The sections of an operation: before its first protocol step, the map and the reduce of each step, and after.

A rank that fails in a section does not reach the next one, and behind each section but the last the ranks wait for each other. So the model goes
through an operation section by section.
"""

from __future__ import annotations

from typing import cast

from ckpt_harness.faults.protocol import Protocol
from ckpt_harness.faults.sites import OperationKind
from ckpt_harness.judging.trace import Moment


class Sections:
    """The sections of one operation, numbered from 0.

    Section 0 lies ahead of the first step; sections ``1 + 2 * i`` and ``2 + 2 * i`` are map and reduce of step ``i``; the last section lies behind the
    steps, or beside them: no rank waits for what is done in it.

    Args:
        protocol: the engine's protocol.
        operation: such as ``save[1]``.

    Attributes:
        declared: the calls of the operation, as the protocol declares them.
        last: the number of the last section.

    Example:
        >>> from ckpt_harness.faults.protocol import DCP
        >>> sections = Sections(DCP, "save[1]")
        >>> [sections.step(number) for number in range(sections.last + 1)]
        ['', 'plan', 'plan', 'write', 'write', '']
    """

    def __init__(self, protocol: Protocol, operation: str) -> None:
        self.declared = protocol.operations[cast(OperationKind, operation.partition("[")[0])]
        self.last = 1 + 2 * len(self.declared.steps)

    def step(self, number: int) -> str:
        """The protocol step that a section belongs to, or "" for the first and the last section."""
        return self.declared.steps[(number - 1) // 2].name if self.is_guarded(number) else ""

    def is_guarded(self, number: int) -> bool:
        """Whether a protocol step guards the section."""
        return 0 < number < self.last

    def is_map(self, number: int) -> bool:
        """Whether every rank takes part, in a protocol step."""
        return self.is_guarded(number) and number % 2 == 1

    def is_reduce(self, number: int) -> bool:
        """Whether only those that coordinate take part."""
        return self.is_guarded(number) and number % 2 == 0

    def number_of(self, moment: Moment, current: int) -> int:
        """The section that a moment belongs to.

        Args:
            moment: the moment.
            current: the section that the rank is in. Sites of no section of their own, such as collectives, belong to it.
        """
        guarded = self.declared.guarded.get(moment.site)
        if guarded is not None:
            index, in_reduce = guarded
            return 1 + 2 * index + in_reduce
        if moment.site in self.declared.before and current == 0:
            return 0
        encloses_the_steps = moment.site in self.declared.before and moment.after  # the call began ahead of the steps, and ends behind them
        if moment.site in self.declared.after or encloses_the_steps:
            return self.last
        return current
