"""Jobs whose checkpoints a manager keeps: their places are steps, and they do what a manager can do."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from ckpt_harness.errors import UsageError, quoted
from ckpt_harness.jobs.operations import LATEST, AsyncSave, Load, Operation, Renew, Restart, Save, Wait

_MOST_DIGITS = 6


def step_of(place: str) -> int:
    """Returns the step that a place stands for.

    Raises:
        UsageError: the place is no step.

    Example:
        >>> step_of("8")
        8
    """
    if not is_step(place):
        raise UsageError(f"place {quoted(place)} with a manager; valid: the number of a step, such as 8")
    return int(place)


def is_step(place: str) -> bool:
    """Whether a place stands for a step: a whole number without leading zeros, so that no two places stand for one step.

    Example:
        >>> is_step("10"), is_step("08"), is_step("a")
        (True, False, False)
    """
    return place.isascii() and place.isdecimal() and len(place) <= _MOST_DIGITS and str(int(place)) == place


def check_managed(operations: Sequence[Operation], way: str) -> None:
    """Refuses what no manager can do.

    Args:
        operations: the operations of a job.
        way: its call style.

    Raises:
        UsageError: the message shows the operation, and what is valid.

    Example:
        >>> check_managed([Save("8", planner="dedup-lowest")], "together")
        Traceback (most recent call last):
            ...
        ckpt_harness.errors.UsageError: operation 1, 'save 8 planner=dedup-lowest': a manager chooses by itself; valid: without planner=
    """
    if way != "together":
        raise UsageError(f"way {way!r} with a manager; valid: 'together'")
    for number, operation in enumerate(operations, 1):
        where = f"operation {number}, {quoted(str(operation))}"
        if isinstance(operation, Renew):
            raise UsageError(f"{where}: a manager keeps its own objects; valid: restart, which makes a new manager")
        if isinstance(operation, Wait) and operation.place:
            raise UsageError(f"{where}: a manager waits for all saves at once; valid: wait")
        if isinstance(operation, (Save, AsyncSave, Load, Restart)):
            _check_options(where, operation)
        place = getattr(operation, "place", "")
        if place not in ("", LATEST) and not is_step(place):
            raise UsageError(f"{where}, with a manager: place {quoted(place)} is no step; valid: a whole number, such as 8")


def _check_options(where: str, operation: Operation) -> None:
    """Refuses an option that is not left as it is."""
    for each in dataclasses.fields(operation):
        if each.kw_only and getattr(operation, each.name) != each.default:
            raise UsageError(f"{where}: a manager chooses by itself; valid: without {each.name}=")
