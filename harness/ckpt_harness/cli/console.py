"""What the commands share when they print: the console, the first line, and the progress bar."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ckpt_harness import __version__

if TYPE_CHECKING:
    from rich.console import Console


INTERRUPTED = 130
"""Exit status after Ctrl-C, as a shell reports it."""


def console() -> Console:
    """A console on stdout that colours only what the report colours."""
    from rich.console import Console

    return Console(highlight=False)


def header(engine: str, seed: int) -> str:
    """The first line of a report: the versions, the engine and the seed.

    Args:
        engine: name of the engine.
        seed: seed of the order in which simulated ranks run.
    """
    return f"ckpt-harness {__version__}, torch {importlib.metadata.version('torch')}, engine {engine}, seed {seed}"


@contextlib.contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Shows a progress bar on stderr, and removes it at the end.

    Args:
        label: what is under way.

    Yields:
        A function to call with the number of items that are done and the number of all items. It raises KeyboardInterrupt after Ctrl-C: between two
        items, the work can end at once.
    """
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    from ckpt_harness.campaigns.interruption import interruptible

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with interruptible() as interruption, Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task(label, total=None)

        def show(done: int, total: int) -> None:
            interruption.check()
            progress.update(task, completed=done, total=total)

        yield show


def processors() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
