"""Reads the replay line of a job: the other direction of :meth:`ckpt_harness.jobs.job.Job.replay_line`."""

from __future__ import annotations

import shlex

from ckpt_harness.errors import UsageError, quoted, unknown
from ckpt_harness.jobs.job import Job

_NUMBERS = ("ranks", "seed")
_LONGEST = 50_000
"""Characters of a line. Jobs of a thousand operations have shorter lines, and longer lines take seconds to read."""
_TEXTS = ("faults", "engine", "workload", "way", "world", "manager")


def job_of_line(line: str) -> Job:
    """Reads a job from its replay line.

    Raises:
        UsageError: the line is no replay line of a job; the message shows what is wrong.

    Example:
        >>> job_of_line("ckpt-harness job 'save a; load a' --ranks 3").ranks
        3
    """
    try:
        words = shlex.split(line) if len(line) <= _LONGEST else []
    except ValueError as error:
        raise UsageError(f"replay line {quoted(line)}: {error}") from error
    if words[:2] != ["ckpt-harness", "job"] or len(words) % 2 == 0:
        raise UsageError(f"{quoted(line)} is no replay line; valid: ckpt-harness job 'OPERATIONS' [--faults 'FAULTS'] [--ranks N] ...")
    given: dict[str, str] = {}
    for option, value in zip(words[3::2], words[4::2], strict=True):
        name = option.removeprefix("--")
        if option != f"--{name}" or name not in (*_NUMBERS, *_TEXTS):
            raise UsageError(unknown("option", option, [f"--{each}" for each in (*_NUMBERS, *_TEXTS)]))
        given[name] = value
    for name in _NUMBERS:
        if not given.get(name, "0").isdecimal() or len(given.get(name, "0")) > 9:
            raise UsageError(f"--{name} {quoted(given[name])}; valid: a whole number")
    numbers = {name: int(given.pop(name)) for name in _NUMBERS if name in given}
    return Job.parse(words[2], **numbers, **given)  # type: ignore[arg-type]  # numbers and texts have their own names
