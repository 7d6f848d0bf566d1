"""Files that the commands write: documents, and JSON lines of which only whole lines stay, even on a full disk."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ckpt_harness.cases import printed
from ckpt_harness.errors import UsageError, quoted

_ERRORS = "surrogateescape"
"""How file names that are no UTF-8 are written: byte for byte, as they were on the command line."""


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
    with _writing(path):
        opened = printed.uncaught(path).open("wb", buffering=0)
    with opened as file:
        size = 0

        def write(line: str) -> None:
            nonlocal size
            rest = line.encode("utf-8", _ERRORS) + b"\n"
            length = len(rest)
            with _writing(path):
                try:
                    while rest:
                        rest = rest[file.write(rest) :]
                except OSError:
                    with contextlib.suppress(OSError):  # a pipe has no length
                        os.ftruncate(file.fileno(), size)
                    raise
            size += length

        yield write


def write_text(path: Path, text: str) -> None:
    """Writes a file of the user.

    Args:
        path: the file; what it held is lost.
        text: what it is to hold.

    Raises:
        UsageError: the file cannot be written.
    """
    with _writing(path):
        printed.uncaught(path).write_text(text, encoding="utf-8", errors=_ERRORS)


def write_json(path: Path, data: Any) -> None:
    """Writes plain data as a JSON document.

    Args:
        path: the file; what it held is lost.
        data: what it is to hold.

    Raises:
        UsageError: the file cannot be written.
    """
    write_text(path, json.dumps(data, ensure_ascii=False, indent=1) + "\n")


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    """Reports an error of the system while a file of the user is written in one line.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        yield
    except OSError as error:
        if error.strerror is None or isinstance(error, BrokenPipeError):
            raise
        raise UsageError(f"{quoted(str(path))} cannot be written: {error.strerror}") from error
