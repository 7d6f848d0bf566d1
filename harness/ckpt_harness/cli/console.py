"""What the commands share when they print: the first line of a report, and the progress of long work."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import time
from collections.abc import Callable, Iterator
from typing import Any, TextIO

import click

from ckpt_harness import __version__
from ckpt_harness.cases import printed

INTERRUPTED = 130
"""Exit status after Ctrl-C, as a shell reports it."""
BETWEEN_LINES = 10.0
"""Seconds between two lines of progress, where there is no terminal for a progress bar."""
_REFRESH = 0.2
"""Seconds between two changes of the line on a terminal."""

Progress = Callable[[int, int], None]
"""To be called with the number of items that are done and the number of all items."""


def header(engine: str, seed: int) -> str:
    """The first line of a report: the versions, the engine and the seed.

    Args:
        engine: name of the engine.
        seed: seed of the order in which simulated ranks run.
    """
    return f"ckpt-harness {__version__}, torch {importlib.metadata.version('torch')}, engine {engine}, seed {seed}"


@contextlib.contextmanager
def progress_of(label: str, clock: Callable[[], float] = time.monotonic) -> Iterator[Progress]:
    """Shows progress on stderr: a bar on a terminal, which is removed at the end, and elsewhere a line every 10 seconds.

    Args:
        label: what is under way.
        clock: gives the time in seconds.

    Yields:
        Shows progress. It raises KeyboardInterrupt after Ctrl-C: between two items, the work can end at once.
    """
    from ckpt_harness.worlds.interruption import interruptible

    shown = _bar(label) if printed.stderr().isatty() else contextlib.nullcontext(_lines(label, clock))
    with interruptible() as interruption, shown as show:

        def checked(done: int, total: int) -> None:
            interruption.check()
            show(done, total)

        yield checked


@contextlib.contextmanager
def _bar(label: str) -> Iterator[Progress]:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    from ckpt_harness.report.console import columns_of

    stream = printed.stderr()
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    console = Console(file=stream, width=columns_of(stream))
    with Bar(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


@contextlib.contextmanager
def status(clock: Callable[[], float] = time.monotonic) -> Iterator[Callable[[Callable[[], str]], None]]:
    """Shows on stderr how a work without an end goes on: a line on a terminal, which is removed at the end, and elsewhere a line every 10 seconds.

    Args:
        clock: gives the time in seconds.

    Yields:
        To be called after each item, with a function that gives the text. It raises KeyboardInterrupt after Ctrl-C: between two items, the work can
        end at once.
    """
    from ckpt_harness.worlds.interruption import interruptible

    on_terminal = printed.stderr().isatty()
    every = _REFRESH if on_terminal else BETWEEN_LINES
    last = clock()
    with interruptible() as interruption, _line() if on_terminal else contextlib.nullcontext(note) as write:

        def show(text: Callable[[], str]) -> None:
            nonlocal last
            interruption.check()
            if clock() - last >= every:
                last = clock()
                write(text())

        yield show


@contextlib.contextmanager
def _line() -> Iterator[Callable[[str], None]]:
    """A line on the terminal that can be written anew, and is removed at the end."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    from ckpt_harness.report.console import columns_of

    stream = printed.stderr()
    console = Console(file=stream, width=columns_of(stream))
    with Live("", console=console, auto_refresh=False, transient=True, redirect_stdout=False, redirect_stderr=False) as live:
        yield lambda text: live.update(Text(text, no_wrap=True, overflow="ellipsis"), refresh=True)


def _lines(label: str, clock: Callable[[], float]) -> Progress:
    last = clock()

    def show(done: int, total: int) -> None:
        nonlocal last
        if clock() - last >= BETWEEN_LINES:
            last = clock()
            note(f"{label}: {done} of {total}")

    return show


class Command(click.Command):
    """A command that runs code of others. What that code prints is kept apart from the command's own output."""

    def invoke(self, ctx: click.Context) -> Any:
        with printed.caught():
            return super().invoke(ctx)


def note(text: str) -> None:
    """Prints a line on the command's stderr."""
    click.echo(text, file=printed.stderr())


def processors() -> int:
    """The number of processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def write_what_cannot_be_encoded_as_escapes(*streams: TextIO) -> None:
    r"""Makes streams print characters that their encoding does not have as escapes (``\u2014``), instead of failing.

    Args:
        streams: streams such as ``sys.stdout``. A stream that a program has replaced by an object of another type is left as it is.
    """
    for stream in streams:
        if getattr(stream, "errors", None) == "strict" and hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
