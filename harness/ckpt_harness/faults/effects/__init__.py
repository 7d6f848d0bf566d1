"""What can go wrong at a site: the effect types, their text form, and which effect is legal where."""

from __future__ import annotations

import dataclasses
import difflib
import re
from collections.abc import Callable

from ckpt_harness.errors import PlanError
from ckpt_harness.faults.effects.base import Effect
from ckpt_harness.faults.effects.calls import Delay, Exit, FailFuture, Hang, Kill, NeverComplete, Raise, Skip, Stop, WrongResult
from ckpt_harness.faults.effects.disk import (
    BitFlip,
    DiskError,
    Misdirect,
    NoSpace,
    ShortWrite,
    StaleRead,
    TornWrite,
    Truncate,
    ZeroFill,
)
from ckpt_harness.faults.effects.network import CutBody, Reset, Status, Throttle
from ckpt_harness.faults.sites import SITES, Site

__all__ = [
    "EFFECTS",
    "SIMULABLE",
    "BitFlip",
    "CutBody",
    "Delay",
    "DiskError",
    "Effect",
    "Exit",
    "FailFuture",
    "Hang",
    "Kill",
    "Misdirect",
    "NeverComplete",
    "NoSpace",
    "Raise",
    "Reset",
    "ShortWrite",
    "Skip",
    "StaleRead",
    "Status",
    "Stop",
    "Throttle",
    "TornWrite",
    "Truncate",
    "WrongResult",
    "ZeroFill",
    "check_legal",
    "parse_effect",
]

EFFECTS: dict[str, type[Effect]] = {
    kind.name: kind
    for kind in (
        *(Raise, FailFuture, NeverComplete, Delay, Hang, Kill, Stop, Exit, Skip, WrongResult),
        *(DiskError, NoSpace, ShortWrite, TornWrite, BitFlip, ZeroFill, Truncate, Misdirect, StaleRead),
        *(Status, Reset, CutBody, Throttle),
    )
}
SIMULABLE: tuple[type[Effect], ...] = tuple(kind for kind in EFFECTS.values() if not kind.needs_processes)
"""The effects that every world can show."""


def check_legal(effect: Effect, site: Site, *, after: bool) -> None:
    """Refuses an effect that means nothing at a site.

    Raises:
        PlanError: with the value and the choices.
    """
    if not effect.legal_at(site):
        here = ", ".join(name for name, kind in EFFECTS.items() if kind.legal_at(site))
        there = ", ".join(other.name for other in SITES.values() if effect.legal_at(other))
        raise PlanError(f"effect {str(effect)!r} is illegal at {site.name!r}; legal there: {here}; {effect.name} is legal at: {there}")
    if isinstance(effect, WrongResult) and effect.kind not in WrongResult.kinds_at(site):
        raise PlanError(f"{str(effect)!r} at {site.name!r}: valid there: {', '.join(f'wrong({kind})' for kind in WrongResult.kinds_at(site))}")
    if isinstance(effect, FailFuture) and effect.at not in FailFuture.moments_at(site):
        raise PlanError(f"{str(effect)!r} at {site.name!r}: nobody takes its value apart from waiting; valid there: failfuture(wait)")
    if after and not effect.can_be_after:
        late = ", ".join(name for name, kind in EFFECTS.items() if kind.can_be_after)
        raise PlanError(f"effect {str(effect)!r} cannot act after the call; effects that can: {late}")
    if after and site.is_future:
        raise PlanError(f"'!after' means nothing at {site.name!r}: a future has the moments wait and value")


def parse_effect(text: str) -> Effect:
    """Reads ``name`` or ``name(argument,...)``.

    Raises:
        PlanError: unknown name (with the nearest spelling), wrong number or kind of arguments.
    """
    name, parenthesis, rest = text.strip().partition("(")
    name = name.strip()
    if name not in EFFECTS:
        near = difflib.get_close_matches(name, EFFECTS, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise PlanError(f"unknown effect {name!r}; {hint}effects: {', '.join(EFFECTS)}")
    if parenthesis and not rest.endswith(")"):
        raise PlanError(f"effect {text.strip()!r}: the parenthesis is not closed")
    kind = EFFECTS[name]
    inside = rest[:-1].strip() if parenthesis else ""
    given = [argument.strip() for argument in inside.split(",")] if inside else []
    fields = dataclasses.fields(kind)
    if len(given) > len(fields):
        takes = ", ".join(field.name for field in fields) or "no arguments"
        raise PlanError(f"effect {text.strip()!r} has {len(given)} arguments; {name} takes {takes}")
    values: dict[str, object] = {}
    for field, argument in zip(fields, given, strict=False):
        values[field.name] = _READERS[str(field.type)](text, argument)
    return kind(**values)


def _number(text: str, argument: str) -> float:
    try:
        return float(argument)
    except ValueError:
        raise PlanError(f"effect {text.strip()!r}: {argument!r} is not a number") from None


def _whole(text: str, argument: str) -> int:
    if not re.fullmatch("[0-9]{1,15}", argument):
        raise PlanError(f"effect {text.strip()!r}: {argument!r} is not a whole number")
    return int(argument)


_READERS: dict[str, Callable[[str, str], object]] = {"float": _number, "int": _whole, "str": lambda _, argument: argument}
"""Type of an effect's field -> what reads it."""
