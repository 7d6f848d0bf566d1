"""Errors that the harness itself raises, and how their messages show an invalid value and the valid choices.

None of the errors derives from torch's ``CheckpointException``: an error of the harness must never be taken for a checkpoint failure.
"""

from __future__ import annotations

import difflib
import reprlib
from collections.abc import Iterable


class HarnessError(Exception):
    """Base of all errors of the harness.

    Example:
        >>> from ckpt_harness import FaultPlan
        >>> try:
        ...     FaultPlan.parse("write_data@1=explode")
        ... except HarnessError as error:
        ...     print(type(error).__name__)
        PlanError
    """


class UsageError(HarnessError, ValueError):
    """An argument that the harness cannot use. The message shows the value and the valid choices, in one line of less than 200 characters."""


class PlanError(UsageError):
    """A fault plan that is malformed, or that could never act. It is raised before anything runs.

    Example:
        >>> from ckpt_harness.faults.plan import FaultPlan
        >>> FaultPlan.parse("writer.write_data@boss=raise")
        Traceback (most recent call last):
            ...
        ckpt_harness.errors.PlanError: unknown ranks 'boss'; valid: numbers such as 0,2, or coordinator, others, all
    """


class InjectedFault(Exception):
    """What the effect ``raise`` raises if the plan names no other error. It pickles and unpickles, so it can cross ranks.

    Args:
        message: which fault of which plan was injected.

    Example:
        >>> raise InjectedFault("injected at writer.finish on rank 0")
        Traceback (most recent call last):
            ...
        ckpt_harness.errors.InjectedFault: injected at writer.finish on rank 0
    """


class InternalError(HarnessError):
    """The harness itself broke inside a hook. The case is UNKNOWN, never a checkpoint failure."""


class DeadlockError(HarnessError):
    """A rank waits for something that can no longer happen. The message says where the rank waits, and for which rank."""


class OracleViolation(AssertionError):
    """A claim about the engine does not hold. The message has the evidence and, if a case was run, its replay line.

    Example:
        >>> from ckpt_harness import assert_propagated
        >>> assert_propagated(ValueError("disk"), "writer.write_data@1=raise")
        Traceback (most recent call last):
            ...
        ckpt_harness.errors.OracleViolation: raised ValueError(disk) instead of a CheckpointException
    """


_LISTED = 100
"""Characters that a list of valid choices may take in a message; a longer list is cut to the nearest choices."""

_NEAREST = 80
"""Characters that the nearest choices may take."""

_LIMITED = reprlib.Repr()
"""Prints values of any size and depth without printing all of them first."""
_LIMITED.maxstring = _LIMITED.maxother = _LIMITED.maxlong = 500


def quoted(value: object, limit: int = 60) -> str:
    """``repr`` of a value as messages show it: without its middle if it is longer than ``limit`` characters.

    Example:
        >>> quoted("x" * 100, limit=20)
        "'xxxxxxxx...xxxxxxx'"
    """
    text = _repr(value)
    if len(text) <= limit:
        return text
    head = (limit - 3 + 1) // 2
    return f"{text[:head]}...{text[-(limit - 3 - head) :]}"


def _repr(value: object) -> str:
    try:
        return _LIMITED.repr(value)
    except Exception as error:  # noqa: BLE001  (an object of a user's class may not even print, and an integer may be too long to)
        return f"<unprintable {type(value).__name__}: {type(error).__name__}>"


def summary(error: BaseException, limit: int = 100) -> str:
    """The message of an error that another message quotes: one line of at most ``limit`` characters.

    Example:
        >>> summary(ImportError("no module named 'a'"))
        "no module named 'a'"
    """
    text = " ".join(str(error).split())
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def choices(valid: Iterable[str], value: object = "", see: str = "") -> str:
    """The valid choices as messages list them: all if they fit, else those nearest to ``value``, and where to see all.

    Args:
        valid: the choices.
        value: the invalid value.
        see: the command that prints all choices, such as ``ckpt-harness sites``.

    Example:
        >>> choices(["save", "load"])
        'valid: save, load'
        >>> choices((f"choice-{number}" for number in range(50)), "choice-99", see="ckpt-harness sites")
        'nearest: choice-9, choice-49, choice-39; all: `ckpt-harness sites`'
    """
    every = list(valid)
    listed = ", ".join(every)
    if len(listed) <= _LISTED:
        return f"valid: {listed}"
    nearest = difflib.get_close_matches(str(value), every, n=3, cutoff=0.4)
    shown = f"nearest: {_fitting(nearest)}" if nearest else f"valid: {_fitting(every[:3])}, ..."
    return f"{shown}; all: `{see}`" if see else f"{shown}; {len(every)} choices in all"


def _fitting(names: list[str]) -> str:
    """As many of the names as fit into a message, at least one."""
    while len(names) > 1 and len(", ".join(names)) > _NEAREST:
        names = names[:-1]
    return ", ".join(names)


def unknown(what: str, value: object, valid: Iterable[str], see: str = "") -> str:
    """The message for a name that does not exist.

    Args:
        what: the kind of name, such as ``engine``.
        value: the unknown name.
        valid: the names that exist.
        see: the command that prints all names.

    Example:
        >>> unknown("operation", "sav", ["save", "load"])
        "unknown operation 'sav'; valid: save, load"
    """
    return f"unknown {what} {quoted(value)}; {choices(valid, value, see)}"
