"""Draws errors and effects, the simplest first."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

from hypothesis import strategies as st

from ckpt_harness.errors import UsageError, choices
from ckpt_harness.faults.effects import (
    SIMULABLE,
    BitFlip,
    CutBody,
    Delay,
    DiskError,
    Effect,
    FailFuture,
    Hang,
    NoSpace,
    Raise,
    ShortWrite,
    Status,
    Throttle,
    TornWrite,
    Truncate,
    WrongResult,
)
from ckpt_harness.faults.error_specs import MISTAKABLE, ZOO
from ckpt_harness.faults.sites import Site, find_site

ERRORS: tuple[str, ...] = (
    "InjectedFault",
    "OSError:EIO",
    "OSError:ENOSPC",
    "ValueError",
    "RuntimeError",
    "TimeoutError",
    "MemoryError",
    *MISTAKABLE,
    "SystemExit",
    "KeyboardInterrupt",
    *ZOO,
)
"""The errors that :func:`errors` draws, the simplest first: a plain error, errors of storage, errors with a special meaning to code, the zoo."""

VARIANTS = 12
"""Numbers from which the form of an effect is drawn: divisible by the number of forms of every effect, so that all forms are drawn equally often."""


def errors() -> st.SearchStrategy[str]:
    """Draws arguments of ``raise`` and ``failfuture``: builtins, an ``OSError`` with an errno, the exception zoo."""
    return st.sampled_from(ERRORS)


def effects_at(site: str, effects: Sequence[type[Effect]] | None = None, errors: Sequence[str] = ERRORS) -> st.SearchStrategy[Effect]:
    """Draws effects that are legal at a site; the simplest is the first of ``effects``, with the first of ``errors``.

    Args:
        site: full name.
        effects: the effects to draw from. Default: all that are legal at the site and need no real processes.
        errors: the errors to draw from.

    Raises:
        PlanError: no such site.
        UsageError: none of ``effects`` is legal there.
    """
    at = find_site(site)
    kinds = legal_effects(at, effects)
    if not kinds:
        raise UsageError(f"none of the effects is legal at {site}; {choices(kind.__name__ for kind in legal_effects(at, None))}")
    numbers = st.tuples(index_of(kinds), index_of(errors), st.integers(0, VARIANTS - 1))
    return numbers.map(lambda drawn: effect_of(at, kinds[drawn[0]], errors[drawn[1]], drawn[2]))


def legal_effects(site: Site, effects: Sequence[type[Effect]] | None) -> list[type[Effect]]:
    """The effects that are legal at a site, the simplest first.

    Args:
        site: the site.
        effects: the effects to choose from; None for those that need no real processes.
    """
    kinds = [kind for kind in (SIMULABLE if effects is None else effects) if kind.legal_at(site)]
    if effects is None and site.side == "fs":  # a disk raises errors of the system; errors that do not pickle come from above
        return [DiskError, *(kind for kind in kinds if kind not in (DiskError, Raise))]
    if effects is None and site.layer == "network":
        return [Status, *(kind for kind in kinds if kind not in (Status, Delay, Hang, Throttle))]  # the last three take real seconds
    return kinds


def index_of(items: Sequence[object]) -> st.SearchStrategy[int]:
    """Draws an index of a sequence; the simplest is 0."""
    return st.integers(0, len(items) - 1)


def effect_of(site: Site, kind: type[Effect], error: str, variant: int, *, in_real_time: bool = False) -> Effect:
    """The effect that drawn values stand for.

    Args:
        site: where it is to strike.
        kind: the effect.
        error: its error, for effects with an error.
        variant: a number from 0 below :data:`VARIANTS`, which stands for one of the effect's forms.
        in_real_time: whether a delay takes real seconds; then it is short.
    """
    if kind is Raise:
        return Raise(error)
    if kind is FailFuture:
        moments = FailFuture.moments_at(site)
        return FailFuture(moments[variant % len(moments)], error)
    if kind is WrongResult:
        wrongs = WrongResult.kinds_at(site)
        return WrongResult(wrongs[variant % len(wrongs)])
    forms = _SHORT if kind is Delay and in_real_time else _FORMS.get(kind, (kind,))
    return forms[variant % len(forms)]()


_SHORT = [functools.partial(Delay, seconds) for seconds in (0.1, 0.01)]
_BYTES = (0, 1, 100, 1300, 4096, 10_000)
_FORMS: dict[type[Effect], Sequence[Callable[[], Effect]]] = {
    Delay: [functools.partial(Delay, seconds) for seconds in (1.0, 0.01, 60.0, 3600.0)],
    DiskError: [functools.partial(DiskError, name) for name in ("EIO", "ENOSPC", "EROFS", "EDQUOT", "ESTALE", "EACCES")],
    Status: [functools.partial(Status, *arguments) for arguments in ((503,), (500,), (503, "SlowDown"), (429,), (403,), (404,))],
    **{kind: [functools.partial(kind, number) for number in _BYTES] for kind in (NoSpace, ShortWrite, TornWrite, BitFlip, Truncate, CutBody)},
}
"""The forms in which an effect is drawn, in the order in which a human would write them. Other effects have one form."""
