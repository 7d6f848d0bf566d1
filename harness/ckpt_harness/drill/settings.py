"""What to drill, and how: the user's command and the options of ``ckpt-harness drill``, checked before anything runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ckpt_harness.errors import UsageError, choices, quoted

ERRORS = ("ENOSPC", "EIO", "ESTALE")
"""Errors of the operating system that a file operation, or a call of a storage, may raise."""
EFFECTS = ("kill-job", "kill-rank", "term", *ERRORS, "hang")
"""All that can happen at a point."""
USUAL = ("kill-job", "kill-rank", "ENOSPC")
"""What happens if nothing is asked for."""


@dataclass(frozen=True)
class Settings:
    """A drill.

    Attributes:
        words: the user's command.
        state: the state directory, as the command names it.
        result: a file or directory that the command produces, as the command names it; None compares the last checkpoint.
        tolerance: how far numbers of the result may differ, relative to the larger.
        effects: what happens at the points.
        every_equal: whether equal points are tried, too.
        every: try every n-th point.
        sample: try at most so many points.
        seed: seed of the sample.
        only: name or pattern of the points to try.
        restarts: how often the command is started again after a strike, at most.
        restart_with: another command for these starts; None for the same.
        grace: seconds that the job has to end after a death, or after SIGTERM.
        patience: a start may take this many times as long as the undisturbed run.
        whole: says of an entry of the state directory whether it is a whole checkpoint; None for checkpoints of DCP.
        work: directory for the copies; None for the system's.
    """

    words: Sequence[str]
    state: str
    result: str | None = None
    tolerance: float = 0.0
    effects: tuple[str, ...] = USUAL
    every_equal: bool = False
    every: int = 1
    sample: int | None = None
    seed: int = 0
    only: str | None = None
    restarts: int = 3
    restart_with: Sequence[str] | None = None
    grace: float = 60.0
    patience: float = 10.0
    whole: Callable[[Path], bool] | None = None
    work: Path | None = None

    def __post_init__(self) -> None:
        if not self.words:
            raise UsageError("no command; valid: ckpt-harness drill [options] -- COMMAND, such as -- torchrun train.py")
        for effect in self.effects:
            if effect not in EFFECTS:
                raise UsageError(f"unknown effect {quoted(effect)}; {choices(EFFECTS)}")
        if os.path.normpath(self.state) in (".", "..", "/"):
            raise UsageError(f"--state {quoted(self.state)} cannot be told from other words of the command; valid: a directory with a name")
        named = [*self.words, *(self.restart_with or ()), *os.environ.values()]
        if not any(spelling in word for spelling in (os.path.normpath(self.state), os.path.abspath(self.state)) for word in named):  # noqa: PTH100
            raise UsageError(f"neither the command nor the environment names --state {quoted(self.state)}, so that no copy can stand in its place")


MINIMUM = 60.0
"""Seconds that each start may take at least."""
