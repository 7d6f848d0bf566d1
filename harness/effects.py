"""What can go wrong at a site: the effect types, their text form, and which effect is legal where.

Effects are frozen values without behaviour, so that plans can be compared, hashed, printed and sent; ``harness._inject`` makes them act.
"""

from __future__ import annotations

import dataclasses
import difflib
import math
from dataclasses import dataclass
from typing import ClassVar

from harness import zoo
from harness.errors import PlanError
from harness.sites import SITES, Site


@dataclass(frozen=True)
class Effect:
    """Base of all effects.

    Attributes:
        name: the word in a plan.
        can_be_after: whether the effect makes sense once the delegated call has acted (the lost acknowledgement).
        about: one line for the reader of the table.
        needs_processes: whether only a rank that is an operating system process can suffer it.
    """

    name: ClassVar[str] = ""
    can_be_after: ClassVar[bool] = True
    about: ClassVar[str] = ""
    needs_processes: ClassVar[bool] = False

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        """Whether the effect means something at ``site``."""
        raise NotImplementedError

    def __str__(self) -> str:
        shown = [_text(getattr(self, field.name)) for field in dataclasses.fields(self)]
        defaults = [_text(field.default) for field in dataclasses.fields(self)]
        while shown and shown[-1] == defaults[len(shown) - 1]:
            shown.pop()
        return f"{self.name}({','.join(shown)})" if shown else self.name


def _text(value: object) -> str:
    return f"{value:g}" if isinstance(value, float) and float(f"{value:g}") == value else str(value)


@dataclass(frozen=True)
class Raise(Effect):
    """Raises an error.

    Attributes:
        error: see ``harness.zoo.check``.
    """

    error: str = "InjectedFault"
    name: ClassVar[str] = "raise"
    about: ClassVar[str] = "raises an error: raise, raise(ValueError), raise(OSError:ENOSPC), raise(unpicklable), raise(my.module.Error)"

    def __post_init__(self) -> None:
        zoo.check(self.error)

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return not site.is_future


@dataclass(frozen=True)
class FailFuture(Effect):
    """The call returns, and its future fails.

    Attributes:
        at: ``wait`` or ``value``: which of the future's methods raises.
        error: see ``harness.zoo.check``.
    """

    at: str = "wait"
    error: str = "InjectedFault"
    name: ClassVar[str] = "failfuture"
    can_be_after: ClassVar[bool] = False
    about: ClassVar[str] = "the future fails: failfuture, failfuture(value), failfuture(wait,OSError:EIO)"

    def __post_init__(self) -> None:
        if self.at not in ("wait", "value"):
            raise PlanError(f"failfuture at {self.at!r}: valid: wait, value")
        zoo.check(self.error)

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return site.is_future

    @classmethod
    def moments_at(cls, site: Site) -> tuple[str, ...]:
        """The moments that the future at ``site`` has: DCP never takes the value of a read, and that of a staging comes with its end."""
        return ("wait",) if site.name in ("reader.read_data.future", "stager.stage.future") else ("wait", "value")


@dataclass(frozen=True)
class NeverComplete(Effect):
    """The call returns, and its future never completes."""

    name: ClassVar[str] = "nevercomplete"
    can_be_after: ClassVar[bool] = False
    about: ClassVar[str] = "the future never completes"

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return site.is_future


@dataclass(frozen=True)
class Delay(Effect):
    """The rank is late.

    Attributes:
        seconds: how late, in the world's time; simulated seconds cost nothing.
    """

    seconds: float = 1.0
    name: ClassVar[str] = "delay"
    about: ClassVar[str] = "the rank is late by so many seconds: delay(2.5)"

    def __post_init__(self) -> None:
        if not (0 < self.seconds < math.inf):
            raise PlanError(f"delay of {self.seconds!r}: valid: a positive, finite number of seconds")

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return True


@dataclass(frozen=True)
class Hang(Effect):
    """The call never returns."""

    name: ClassVar[str] = "hang"
    about: ClassVar[str] = "the call never returns"

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return True


@dataclass(frozen=True)
class Kill(Effect):
    """The rank dies: SIGKILL with real processes, simulated death otherwise."""

    name: ClassVar[str] = "kill"
    about: ClassVar[str] = "the rank dies, as by SIGKILL"

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return True


@dataclass(frozen=True)
class Stop(Effect):
    """The rank is stopped by SIGSTOP, as when its host is paused or a debugger holds it: it keeps its connections, and does nothing.

    Attributes:
        seconds: when SIGCONT comes; by default never, while the case lasts.
    """

    seconds: float = math.inf
    name: ClassVar[str] = "stop"
    about: ClassVar[str] = "SIGSTOP: stop, or stop(2.5) with SIGCONT after so many seconds; real processes only"
    needs_processes: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if not self.seconds > 0:
            raise PlanError(f"stop for {self.seconds!r}: valid: a positive number of seconds")

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return True


@dataclass(frozen=True)
class Exit(Effect):
    """The rank ends by ``os._exit``, as native code that gives up does: nothing is unwound or flushed, and the exit looks orderly."""

    name: ClassVar[str] = "exit"
    about: ClassVar[str] = "the rank ends at once, as by os._exit; real processes only"
    needs_processes: ClassVar[bool] = True

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return True


@dataclass(frozen=True)
class Skip(Effect):
    """The call says yes and did nothing."""

    name: ClassVar[str] = "skip"
    can_be_after: ClassVar[bool] = False
    about: ClassVar[str] = "the call says yes and did nothing"

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        if site.side in ("pg", "fs"):
            return False
        return site.result in ("nothing", "argument", "list") or site.name in ("writer.write_data", "reader.read_data")


@dataclass(frozen=True)
class WrongResult(Effect):
    """The call acts and returns something else.

    Attributes:
        kind: ``none``, or for a list ``short`` (its last element missing) or ``duplicate`` (its first element twice).
    """

    kind: str = "none"
    name: ClassVar[str] = "wrong"
    can_be_after: ClassVar[bool] = False
    about: ClassVar[str] = "the call acts and returns something else: wrong(none), and for lists wrong(short), wrong(duplicate)"

    def __post_init__(self) -> None:
        if self.kind not in ("none", "short", "duplicate"):
            raise PlanError(f"wrong result {self.kind!r}: valid: none, short, duplicate")

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return site.side not in ("pg", "fs") and site.result != "nothing" and not (site.is_future and FailFuture.moments_at(site) == ("wait",))

    @classmethod
    def kinds_at(cls, site: Site) -> tuple[str, ...]:
        """The kinds that mean something at ``site``."""
        return ("none", "short", "duplicate") if site.result in ("list", "plans", "future") else ("none",)


EFFECTS: dict[str, type[Effect]] = {kind.name: kind for kind in (Raise, FailFuture, NeverComplete, Delay, Hang, Kill, Stop, Exit, Skip, WrongResult)}
SIMULABLE: tuple[type[Effect], ...] = tuple(kind for kind in EFFECTS.values() if not kind.needs_processes)
"""The effects that every world can show."""


def check_legal(effect: Effect, site: Site, *, after: bool) -> None:
    """Refuses an effect that means nothing at a site.

    Raises:
        PlanError: with the value and the choices.
    """
    if not effect.legal_at(site):
        here = ", ".join(name for name, kind in EFFECTS.items() if kind.legal_at(site))
        there = ", ".join(other.name for other in SITES.values() if not other.reserved and effect.legal_at(other))
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
        values[field.name] = _number(text, argument) if field.type == "float" else argument
    return kind(**values)


def _number(text: str, argument: str) -> float:
    try:
        return float(argument)
    except ValueError:
        raise PlanError(f"effect {text.strip()!r}: {argument!r} is not a number") from None
