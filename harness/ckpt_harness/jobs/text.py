"""The text form of a job's operations: ``save a; async b; wait; restart 3; load latest``."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable
from typing import Any

from ckpt_harness.errors import UsageError, choices, cut, quoted, unknown
from ckpt_harness.jobs.operations import OPERATIONS, Operation


def parse_operations(text: str) -> tuple[Operation, ...]:
    """Reads operations from their text.

    Args:
        text: operations joined by ``;``.

    Raises:
        UsageError: the message shows the value and the valid choices.

    Example:
        >>> parse_operations("save a; restart 3")
        (Save(place='a', coordinator=0, planner='default'), Restart(ranks=3, way='', engine=''))
        >>> parse_operations("sav a")
        Traceback (most recent call last):
            ...
        ckpt_harness.errors.UsageError: unknown operation 'sav'; valid: save, async, wait, load, retry, continue, restart, heal, prune, change, renew
    """
    if not isinstance(text, str):
        raise UsageError(f"operations {quoted(text)} have the type {type(text).__name__}; valid: text such as `save a; load a`")
    return tuple(parse_operation(part) for part in text.split(";") if part.strip())


def parse_operation(text: str) -> Operation:
    """Reads one operation from its text.

    Raises:
        UsageError: the message shows the value and the valid choices.

    Example:
        >>> parse_operation("load a ranks=1")
        Load(place='a', ranks=1, entries='all', coordinator=0, planner='default')
    """
    words = text.split()
    if not words:
        raise UsageError(unknown("operation", "", OPERATIONS))
    if words[0] not in OPERATIONS:
        raise UsageError(unknown("operation", words[0], OPERATIONS))
    kind = OPERATIONS[words[0]]
    options = {each.name: each for each in dataclasses.fields(kind) if each.kw_only}
    arguments = [each for each in dataclasses.fields(kind) if not each.kw_only]
    given: dict[str, Any] = {}
    for word in words[1:]:
        name, equals, value = word.partition("=")
        if not equals:
            if not arguments:
                raise UsageError(f"{_shown(text)} has {quoted(word)} too many; the form is: {form(kind)}")
            argument = arguments.pop(0)
            given[argument.name] = _value(argument, word)
        elif name not in options:
            raise UsageError(_unknown_option(kind, name, options))
        elif name in given:
            raise UsageError(f"{_shown(text)} gives {name} twice; valid: once")
        else:
            given[name] = _value(options[name], value)
    if any(each.default is dataclasses.MISSING for each in arguments):
        raise UsageError(f"{_shown(text)} lacks its {arguments[0].name}; the form is: {form(kind)}")
    return kind(**given)


def operations_text(operations: Iterable[Operation]) -> str:
    """Returns the text that :func:`parse_operations` reads back.

    Example:
        >>> operations_text(parse_operations(" save a ;wait"))
        'save a; wait'
    """
    return "; ".join(map(str, operations))


def form(kind: type[Operation]) -> str:
    """Returns how an operation is written, as messages and pages show it.

    Example:
        >>> form(OPERATIONS["restart"])
        'restart [RANKS] [way=WAY] [engine=ENGINE]'
    """
    words = [kind.word]
    for each in dataclasses.fields(kind):
        word = f"{each.name}={each.name.upper()}" if each.kw_only else each.name.upper()
        words.append(word if each.default is dataclasses.MISSING else f"[{word}]")
    return " ".join(words)


def _value(each: dataclasses.Field[Any], text: str) -> Any:
    """The value of a field: a number where the field is one."""
    if each.type != "int":
        return text
    if not re.fullmatch("[0-9]{1,9}", text):
        raise UsageError(f"{each.name} {quoted(text)}; valid: a whole number")
    return int(text)


def _unknown_option(kind: type[Operation], name: str, options: Iterable[str]) -> str:
    valid = list(options)
    return f"{kind.word} has no option {quoted(name)}; {choices(valid, name) if valid else f'the form is: {form(kind)}'}"


def _shown(text: str) -> str:
    return quoted(cut(text, 50), 60)
