"""States whose structure changes during a job: a workload with an entry beside it that gets other keys, shapes and dtypes; and parts of a state."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import torch

from ckpt_harness.errors import UsageError
from ckpt_harness.jobs.operations import ASPECTS, Change
from ckpt_harness.workloads.context import Context, State
from ckpt_harness.workloads.workload import Workload, find_workload

_KEY = 400
"""Number of the entry within the tags."""


@dataclass(frozen=True)
class Structure:
    """The structure of the state at a moment of a job.

    Attributes:
        workload: name of the workload.
        keys: how often its keys were changed.
        shapes: how often its shapes were changed.
        dtype: how often a dtype was changed.
        part: whether only every second entry at the top level is asked for.
    """

    workload: str
    keys: int = 0
    shapes: int = 0
    dtype: int = 0
    part: bool = False

    def changed(self, change: Change) -> Structure:
        """Returns the structure after a change.

        Example:
            >>> Structure("mixed").changed(Change("keys")).changed(Change("nested"))
            Structure(workload='nested', keys=1, shapes=0, dtype=0, part=False)
        """
        if change.to in ASPECTS:
            return dataclasses.replace(self, **{change.to: getattr(self, change.to) + 1})
        return dataclasses.replace(self, workload=change.to)

    def built(self) -> Workload:
        """Builds the workload with this structure.

        Raises:
            UsageError: there is no such workload, or it makes no sense in a job.
        """
        workload = find_workload(self.workload)
        if workload.diverged or workload.target is not None:
            raise UsageError(f"workload {self.workload!r} ({workload.about}) has no values that a whole job could follow; valid: mixed, nested, ...")
        make = workload.make
        if self.keys or self.shapes or self.dtype:
            make = _Varied(workload, self).make
        if self.part:
            make = _Part(dataclasses.replace(workload, make=make)).make
        return dataclasses.replace(workload, name=str(self), make=make)

    @property
    def in_whole(self) -> Structure:
        """The structure that is saved where this part of it is asked for."""
        return dataclasses.replace(self, part=False)

    def __str__(self) -> str:
        changes = "".join(f"+{name}{getattr(self, name)}" for name in ASPECTS if getattr(self, name))
        return f"{self.workload}{changes}{' (part)' if self.part else ''}"


@dataclass(frozen=True)
class _Varied:
    """A workload with an entry more. The entry has its own name, shape and dtype after each change."""

    workload: Workload
    structure: Structure

    def make(self, context: Context) -> State:
        values = context.tensor(_KEY, 2 + 2 * self.structure.shapes)
        varied = values.view(torch.int32) if self.structure.dtype % 2 else values
        return {**self.workload.make(context), f"varied {self.structure.keys}": varied}


@dataclass(frozen=True)
class _Part:
    """Every second entry at the top level of a state."""

    workload: Workload

    def make(self, context: Context) -> State:
        return dict(list(self.workload.make(context).items())[::2])
