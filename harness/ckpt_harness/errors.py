"""Errors that the harness raises on its own account.

None of them derives from torch's ``CheckpointException``: an error of the harness must never be taken for a checkpoint failure.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class HarnessError(Exception):
    """Base of all errors of the harness."""


class UsageError(HarnessError, ValueError):
    """A value that a caller passed cannot be used; the message shows it with the valid choices."""


class PlanError(UsageError):
    """A fault plan that is malformed, or that could never act; raised before anything runs."""


class InjectedFault(Exception):
    """What ``raise`` throws when no other type is named.

    It pickles and unpickles, so it can cross ranks.

    Args:
        message: which fault of which plan this is.
    """


class InternalError(HarnessError):
    """The harness itself broke inside a hook. The case is UNKNOWN, never a checkpoint failure."""


class DeadlockError(HarnessError):
    """A rank waits for something that can no longer happen; the message says where, and for whom."""


class OracleViolation(AssertionError):
    """A claim about the engine does not hold; the message carries the evidence and a replay line."""


_CHOICES = 100
"""Characters that a list of valid choices may take in a message; a longer list is cut to the nearest choices."""


def quoted(value: object, limit: int = 60) -> str:
    """``repr`` of a value as a message shows it: cut in the middle where it is longer than ``limit`` characters.

    Example:
        >>> quoted("x" * 100, limit=20)
        "'xxxxxxxx...xxxxxxx'"
    """
    text = repr(value)
    if len(text) <= limit:
        return text
    head = (limit - 3 + 1) // 2
    return f"{text[:head]}...{text[-(limit - 3 - head) :]}"


def choices(valid: Iterable[str], value: object = "", see: str = "") -> str:
    """The valid choices as a message lists them: all where they fit, else those nearest to ``value``, and where to see all.

    Args:
        valid: the choices.
        value: the invalid value.
        see: the command that prints all choices, such as ``ckpt-harness sites``.

    Example:
        >>> choices(["save", "load"])
        'valid: save, load'
    """
    every = list(valid)
    listed = ", ".join(every)
    if len(listed) <= _CHOICES:
        return f"valid: {listed}"
    nearest = difflib.get_close_matches(str(value), every, n=3, cutoff=0.4) or every[:3]
    where = f"; `{see}` prints all {len(every)}" if see else f"; {len(every)} choices in all"
    return f"nearest: {', '.join(nearest)}{where}"


def unknown(what: str, value: object, valid: Iterable[str], see: str = "") -> str:
    """The message for a name that nothing has.

    Args:
        what: what was named, such as ``engine``.
        value: the unknown name.
        valid: the names that exist.
        see: the command that prints all names.

    Example:
        >>> unknown("operation", "sav", ["save", "load"])
        "unknown operation 'sav'; valid: save, load"
    """
    return f"unknown {what} {quoted(value)}; {choices(valid, value, see)}"
