"""What all effects have in common.

Effects are frozen values without behaviour, so that plans can be compared, hashed, printed and sent; ``ckpt_harness.injection`` makes them act.
"""

from __future__ import annotations

import dataclasses
import functools
from dataclasses import dataclass
from typing import ClassVar

from ckpt_harness.faults.sites import Site


@dataclass(frozen=True)
class Effect:
    """Base of all effects.

    Attributes:
        name: the word in a plan.
        can_be_after: whether the effect may strike after the call has acted (the lost acknowledgement).
        about: one line for tables.
        needs_processes: whether the effect is possible only where each rank is an operating system process.
    """

    name: ClassVar[str] = ""
    can_be_after: ClassVar[bool] = True
    about: ClassVar[str] = ""
    needs_processes: ClassVar[bool] = False

    @property
    def about_parts(self) -> bool:
        """Whether a rank states wrong parts of a tensor. Such a fault cannot fire on a rank whose state has no sharded tensor."""
        return False

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        """Whether the effect has a meaning at ``site``."""
        raise NotImplementedError

    def __str__(self) -> str:
        return self._in_a_plan

    @functools.cached_property  # asked for many times in each case
    def _in_a_plan(self) -> str:
        shown = [_text(getattr(self, field.name)) for field in dataclasses.fields(self)]
        defaults = [_text(field.default) for field in dataclasses.fields(self)]
        while shown and shown[-1] == defaults[len(shown) - 1]:
            shown.pop()
        return f"{self.name}({','.join(shown)})" if shown else self.name


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)
