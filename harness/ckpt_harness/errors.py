"""Errors that the harness itself raises, and how their messages show an invalid value and the valid choices.

None of the errors derives from torch's ``CheckpointException``: an error of the harness must never be taken for a checkpoint failure.
"""

from __future__ import annotations

import contextlib
import difflib
import reprlib
from collections.abc import Iterable, Iterator, Sequence


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


class EngineError(HarnessError):
    """An engine cannot be judged: it fails with no fault, or a hook of the engine raises."""


def cannot_save(engine: str, failed: Sequence[str]) -> EngineError:
    """The error for an engine that cannot save though nothing goes wrong.

    Args:
        engine: name of the engine.
        failed: how the save ended on each rank that failed.

    Example:
        >>> cannot_save("mine", ["rank 0: raised ValueError('x')", "rank 1: hung"])
        EngineError("engine 'mine' cannot save with no fault: rank 0: raised ValueError('x'); and 1 more rank")
    """
    more = len(failed) - 1
    others = f"; and {more} more rank{'s' * (more > 1)}" if more else ""
    return EngineError(f"engine {quoted(engine)} cannot save with no fault: {cut(failed[0], 140)}{others}")


class HookError(EngineError):
    """A hook of an engine, such as ``committed``, raised an error. The case is UNKNOWN."""


class InternalError(HarnessError):
    """The harness itself broke inside a hook. The case is UNKNOWN, never a checkpoint failure."""


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
    return without_middle(_repr(value), limit)


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
    return cut(str(error), limit)


def cut(text: str, limit: int = 100) -> str:
    """A text in one line of at most ``limit`` characters.

    What is in the innermost brackets goes first: the arguments of a call in a message matter less than the reason after them. Both ends stay, of the text
    and of what is in brackets: an error begins with its class, and ends with its reason or its last cause.

    Example:
        >>> cut("one  two  three", limit=11)
        'one ...hree'
        >>> cut("RuntimeError(copy(tensor=[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]) is not supported)", limit=80)
        'RuntimeError(copy(tensor=[1, 1, 1, 1, 1, 1..., 1, 1, 1, 1, 1]) is not supported)'
    """
    line = without_middle(" ".join(text.split()), _MOST_PARSED)
    for short, kept in _SIZES:
        while len(line) > limit and (span := _least_important(line, short)):
            start, end = span
            length = max(kept, end - start - (len(line) - limit))
            line = line[:start] + without_middle(line[start:end], length).translate(_HIDDEN) + line[end:]
    return without_middle(line, limit).translate(_SHOWN)


_BRACKETS = "([{)]}"
_HIDDEN = {ord(bracket): chr(0xE000 + number) for number, bracket in enumerate(_BRACKETS)}
"""Characters for private use that stand for brackets in shortened text, where they have lost their partners."""
_SHOWN = {ord(hidden): chr(bracket) for bracket, hidden in _HIDDEN.items()}
_MOST_PARSED = 2_000
"""Characters in which brackets are looked for: a message may be a megabyte long."""
_SIZES = ((45, 30), (24, 18))
"""Characters in brackets that are left alone, and characters that are kept of what is in longer brackets; smaller sizes where these do not do."""


def _least_important(line: str, short: int) -> tuple[int, int] | None:
    """The longest of the most deeply nested brackets with more than ``short`` characters in them: begin and end of these."""
    opened: list[int] = []
    found: list[tuple[int, int, tuple[int, int]]] = []
    for position, character in enumerate(line):
        if character in "([{":
            opened.append(position + 1)
        elif character in ")]}" and opened:
            start = opened.pop()
            if position - start > short:
                found.append((len(opened), position - start, (start, position)))
    return max(found)[-1] if found else None


def without_middle(text: str, limit: int) -> str:
    """The text; without its middle if it is longer than ``limit`` characters.

    Example:
        >>> without_middle("a message that is too long", 11)
        'a me...long'
    """
    if len(text) <= limit:
        return text
    head = (limit - 3 + 1) // 2
    return f"{text[:head]}...{text[len(text) - (limit - 3 - head) :]}"


def described(error: BaseException) -> str:
    """An error in one line: its class and its message, and the error that was its first cause. Some classes say it all in their message.

    Example:
        >>> described(ImportError("no module named 'a'"))
        "no module named 'a'"
        >>> described(SystemExit(0))
        'SystemExit: 0'
        >>> try:
        ...     raise RuntimeError("cannot stage") from OSError(28, "No space left on device")
        ... except RuntimeError as error:
        ...     described(error)
        'RuntimeError: cannot stage, caused by [Errno 28] No space left on device'
    """
    chain = [error]
    while (cause := chain[-1].__cause__) is not None and cause not in chain:
        chain.append(cause)
    text, first = _described_alone(error), _described_alone(chain[-1])
    return text if first in text else cut(f"{text}, caused by {first}", _LONGEST_CHAIN)


_LONGEST_CHAIN = 140
"""Characters of an error and its first cause."""


def _described_alone(error: BaseException) -> str:
    try:
        message = summary(error)
    except Exception:  # noqa: BLE001  (an error of a user's class may not even print)
        message = "its message cannot be printed"
    if isinstance(error, (ImportError, AttributeError, OSError)) and message:
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


@contextlib.contextmanager
def blamed(on: str, kind: type[HarnessError] = UsageError) -> Iterator[None]:
    """Whatever code of the user raises inside becomes an error of the harness in one line, ``sys.exit`` included: a run must not end in silence.

    Errors of the harness and an interruption by the user pass unchanged.

    Args:
        on: what cannot be done because of the error.
        kind: class of the error that is raised instead.

    Raises:
        HarnessError: of class ``kind``.

    Example:
        >>> with blamed("engine 'x' cannot be imported"):
        ...     raise SystemExit(0)
        Traceback (most recent call last):
            ...
        ckpt_harness.errors.UsageError: engine 'x' cannot be imported: SystemExit: 0
    """
    try:
        yield
    except (HarnessError, KeyboardInterrupt):
        raise
    except BaseException as error:  # SystemExit too: it would end the command with the status that the code of the user chose
        raise kind(f"{on}: {described(error)}") from error


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
