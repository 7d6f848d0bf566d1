"""A file of JSON lines that holds whole lines only, even on a full disk."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path

from ckpt_harness.errors import UsageError, quoted


@contextlib.contextmanager
def whole_lines(path: Path) -> Iterator[Callable[[str], None]]:
    """Opens a file for lines. A line that does not fit is removed again.

    Args:
        path: the file; what it held is lost.

    Yields:
        A function that writes a line, at once.

    Raises:
        UsageError: the file cannot be written.
    """
    with writing(path):
        opened = path.open("wb", buffering=0)
    with opened as file:
        size = 0

        def write(line: str) -> None:
            nonlocal size
            rest = line.encode("utf-8", "surrogateescape") + b"\n"
            length = len(rest)
            with writing(path):
                try:
                    while rest:
                        rest = rest[file.write(rest) :]
                except OSError:
                    with contextlib.suppress(OSError):  # a pipe has no length
                        os.ftruncate(file.fileno(), size)
                    raise
            size += length

        yield write


@contextlib.contextmanager
def writing(path: Path) -> Iterator[None]:
    """An error of the system while a file of the user is written is reported in one line.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.strerror is None or isinstance(error, BrokenPipeError):
            raise
        raise UsageError(f"{quoted(str(path))} cannot be written: {error.strerror}") from error
