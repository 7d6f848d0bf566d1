"""What can go wrong at a site: the effects, their text form, and where each effect is legal.

A new effect is a class in the file of its layer (``calls``, ``disk``, ``network``) and a line in :data:`EFFECTS`; what it does is implemented in
``ckpt_harness.injection``.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable

from ckpt_harness.errors import PlanError, choices, quoted, unknown
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
"""Name -> effect."""

SIMULABLE: tuple[type[Effect], ...] = tuple(kind for kind in EFFECTS.values() if not kind.needs_processes)
"""The effects that need no real processes."""

_SEE = "ckpt-harness effects"
"""The command that prints all effects."""

_LINE = 200
"""Characters of a message."""


def check_legal(effect: Effect, site: Site, *, after: bool) -> None:
    """Refuses an effect that means nothing at a site.

    Args:
        effect: the effect.
        site: where it is to strike.
        after: whether it is to strike after the call.

    Raises:
        PlanError: the message shows the effect, the site and the valid choices.

    Example:
        >>> check_legal(Hang(), SITES["writer.finish"], after=False)
    """
    if not effect.legal_at(site):
        raise PlanError(_illegal(effect, site))
    if isinstance(effect, WrongResult) and effect.kind not in WrongResult.kinds_at(site):
        raise PlanError(f"effect '{effect}' is illegal at {site.name}; {choices(f'wrong({kind})' for kind in WrongResult.kinds_at(site))}")
    if isinstance(effect, FailFuture) and effect.at not in FailFuture.moments_at(site):
        raise PlanError(f"{effect.name}({effect.at}) is illegal at {site.name}: the engine never takes the value; valid: failfuture(wait)")
    if after and not effect.can_be_after:
        late = choices((name for name, kind in EFFECTS.items() if kind.can_be_after), see=_SEE)
        raise PlanError(f"effect {quoted(str(effect))} cannot act after the call; {late}")
    if after and site.is_future:
        raise PlanError(f"'!after' at {site.name}: a future has no such moment; valid: without !after")


def _illegal(effect: Effect, site: Site) -> str:
    """The message for an effect that means nothing at a site: what is legal there and, if it fits into a line, where the effect is legal."""
    here = ", ".join(name for name, kind in EFFECTS.items() if kind.legal_at(site))
    there = ", ".join(other.name for other in SITES.values() if effect.legal_at(other))
    message = f"effect '{effect.name}' is illegal at {site.name}; legal there: {here}"
    where = f"; '{effect.name}' is legal at: {there}"
    return message + where if len(message + where) < _LINE else f"{message}; see `{_SEE}`"


def parse_effect(text: str) -> Effect:
    """Reads ``name`` or ``name(argument,...)``.

    Raises:
        PlanError: an unknown name, or arguments of the wrong number or kind.

    Example:
        >>> parse_effect("delay(2.5)")
        Delay(seconds=2.5)
    """
    name, parenthesis, rest = text.strip().partition("(")
    name = name.strip()
    if name not in EFFECTS:
        raise PlanError(unknown("effect", name, EFFECTS, see=_SEE))
    if parenthesis and not rest.endswith(")"):
        raise PlanError(f"effect {quoted(text.strip())} has no closing parenthesis; valid: {name}(...)")
    kind = EFFECTS[name]
    inside = rest[:-1].strip() if parenthesis else ""
    arguments = [argument.strip() for argument in inside.split(",")] if inside else []
    fields = dataclasses.fields(kind)
    if len(arguments) > len(fields):
        valid = ", ".join(field.name for field in fields) or "no arguments"
        raise PlanError(f"effect {quoted(text.strip())} has {len(arguments)} argument{'s' * (len(arguments) != 1)}; valid: {valid}")
    values: dict[str, object] = {}
    for field, argument in zip(fields, arguments, strict=False):
        values[field.name] = _READERS[str(field.type)](name, argument)
    return kind(**values)


def _number(name: str, argument: str) -> float:
    try:
        if not re.fullmatch("[0-9a-z.+-]*", argument):  # Python also reads the digits of other scripts, and 1_000
            raise ValueError
        return float(argument)
    except ValueError:
        raise PlanError(f"argument {quoted(argument)} of {name}; valid: a number") from None


def _whole(name: str, argument: str) -> int:
    if not re.fullmatch("[0-9]{1,15}", argument):
        raise PlanError(f"argument {quoted(argument)} of {name}; valid: a whole number from 0")
    return int(argument)


_READERS: dict[str, Callable[[str, str], object]] = {"float": _number, "int": _whole, "str": lambda _, argument: argument}
"""Type of an effect's field -> function that reads the field, given the effect's name and the argument."""
