"""Where reports are printed, so that no text is lost or torn, however narrow the terminal, and in a pipe."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TextIO

from rich.console import Console
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from ckpt_harness.cases import printed

_UNLIMITED = 100_000
"""Characters in a line where nothing says how wide a line may be: nothing is wrapped."""


def console() -> Console:
    """A console on the command's stdout that colours only what the report colours, and takes text for text: brackets are no markup, and colons no emoji.

    Lines are as wide as the variable ``COLUMNS`` says, or else as the terminal. Where stdout is no terminal, lines are not wrapped.
    """
    columns = os.environ.get("COLUMNS", "")
    stream = printed.stdout()
    width = int(columns) if columns.isdecimal() and int(columns) > 0 else columns_of(stream)
    screen = Console(file=stream, highlight=False, markup=False, emoji=False, width=width)
    if width is None and not screen.is_terminal:
        screen.width = _UNLIMITED
    elif screen.width <= 0:  # rich takes COLUMNS=0 at its word
        screen.width = 80
    return screen


def columns_of(stream: TextIO) -> int | None:
    """The width of the terminal that a stream leads to; None if the stream leads to none. Rich looks at descriptors 0 to 2 only."""
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError, AttributeError):
        return None


def say(console: Console, lines: Iterable[Text | str]) -> None:
    """Prints lines without wrapping them, however narrow the terminal: a replay line with a line break in it cannot be copied into a shell."""
    for line in lines:
        console.print(line, soft_wrap=True)


def print_table(console: Console, table: Table) -> None:
    """Prints a table whose columns are at least as wide as their longest word, even if the lines are then longer than the terminal is wide."""
    wide = console.options.update(width=_UNLIMITED)
    _, right, _, left = table.padding
    needed = 0
    for column in table.columns:
        sizes = [Measurement.get(console, wide, cell) for cell in (column.header, *column.cells)]
        column.min_width = max(size.maximum if column.no_wrap else size.minimum for size in sizes)
        needed += left + column.min_width + right
    width = console.width
    console.width = max(width, needed)
    try:
        console.print(table, crop=False)
    finally:
        console.width = width
