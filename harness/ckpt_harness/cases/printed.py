"""What the code under test prints. It is kept apart from the report of a command, case by case, and shown with the cases that fail.

As in pytest, everything is caught that this process, and the processes that it starts, write to stdout and stderr (at the level of descriptors), and
stdin is empty. Only the commands do so: in a test suite, the test runner catches what is printed.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple, TextIO

_MOST = 8_000
"""Characters that are kept of what one case prints: the beginning and the end."""
_MOST_LINES = 20
"""Lines that a report shows of what one case printed."""


class _Caught(NamedTuple):
    """Where output goes, and where it would have gone.

    Attributes:
        file: the file that holds what was printed.
        stdout: leads where ``sys.stdout`` led.
        stderr: leads where ``sys.stderr`` led.
        originals: 0, 1 and 2 -> a copy of the descriptor, which leads where the descriptor led.
    """

    file: Any
    stdout: TextIO
    stderr: TextIO
    originals: dict[int, int]


_now: list[_Caught] = []


@contextlib.contextmanager
def caught() -> Iterator[None]:
    """Catches output until the end of the ``with`` block. If the block raises, what was printed last goes to stderr: it may say why.

    Inside another such block, does nothing.
    """
    if _now:
        yield
        return
    with contextlib.ExitStack() as until:
        _now.append(_redirected(until))
        until.callback(_now.clear)
        until.enter_context(shown_on_error())
        yield


@contextlib.contextmanager
def shown_on_error() -> Iterator[None]:
    """If the ``with`` block raises, what was printed since the case began goes to stderr."""
    try:
        yield
    except BaseException:
        rest = so_far()
        if rest:
            print(rest, file=stderr(), flush=True)
        raise


def catch_for_good() -> None:
    """Catches output for the life of this process, which has no report of its own."""
    if not _now:
        _now.append(_redirected(contextlib.ExitStack()))


def _redirected(until: contextlib.ExitStack) -> _Caught:
    """Redirects all output of the process to a file. The stack undoes it."""
    file = until.enter_context(tempfile.TemporaryFile(buffering=0))  # noqa: SIM115  (the stack closes it)
    _flush()
    kept = _Caught(file, _copy(sys.stdout, until), _copy(sys.stderr, until), {})
    for descriptor in (0, 1, 2):
        with contextlib.suppress(OSError):  # the descriptor is closed, and stays so
            kept.originals[descriptor] = os.dup(descriptor)
            until.callback(_lead_back, descriptor, kept.originals[descriptor])
    if 2 in kept.originals and not faulthandler.is_enabled():
        faulthandler.enable(kept.originals[2])  # what native code says before it ends the process would be lost
        until.callback(faulthandler.disable)
    nothing = os.open(os.devnull, os.O_RDONLY)
    until.callback(os.close, nothing)
    for descriptor in kept.originals:
        os.dup2(file.fileno() if descriptor else nothing, descriptor)
    stream = io.TextIOWrapper(os.fdopen(os.dup(file.fileno()), "wb", 0), encoding="utf-8", errors="backslashreplace", write_through=True)
    until.enter_context(stream)
    until.enter_context(contextlib.redirect_stdout(stream))
    until.enter_context(contextlib.redirect_stderr(stream))
    until.callback(_flush)  # before descriptors lead back: what an engine has buffered is no part of the report
    return kept


def _copy(stream: TextIO, until: contextlib.ExitStack) -> TextIO:
    """A stream that keeps leading where a stream leads now."""
    try:
        descriptor = os.dup(stream.fileno())
    except (OSError, ValueError, AttributeError):  # an object of a test runner, or no stream at all
        return stream
    return until.enter_context(os.fdopen(descriptor, "w", encoding=stream.encoding, errors=stream.errors))


def _lead_back(descriptor: int, original: int) -> None:
    os.dup2(original, descriptor)
    os.close(original)


def _flush() -> None:
    """Empties the buffers of streams that lead to the descriptors."""
    streams: tuple[Any, ...] = (sys.__stdout__, sys.__stderr__, sys.stdout, sys.stderr)  # each may be None
    for stream in streams:
        with contextlib.suppress(OSError, ValueError, AttributeError):
            stream.flush()


def begin() -> None:
    """A case begins: what was printed before is forgotten."""
    if _now:
        _flush()
        descriptor = _now[-1].file.fileno()
        os.ftruncate(descriptor, 0)
        os.lseek(descriptor, 0, os.SEEK_SET)  # for all processes that share the file


def so_far() -> str:
    """What was printed since the case began, without its middle if it is long; "" if output is not caught."""
    if not _now:
        return ""
    _flush()
    descriptor = _now[-1].file.fileno()
    size = os.fstat(descriptor).st_size
    if size <= _MOST:
        content = os.pread(descriptor, size, 0)
    else:
        half = _MOST // 2
        left_out = f"\n... {size - 2 * half} bytes left out ...\n".encode()
        content = os.pread(descriptor, half, 0) + left_out + os.pread(descriptor, half, size - half)
    lines = content.decode("utf-8", "backslashreplace").replace("\r\n", "\n").split("\n")
    return "\n".join(line.rpartition("\r")[2] for line in lines).strip("\n")  # a progress bar returns to the beginning of its line


def shown(text: str, most: int = _MOST_LINES) -> list[str]:
    r"""What a case printed, as lines of a report: without lines in the middle if there are many.

    Args:
        text: what was printed.
        most: number of lines to show.

    Example:
        >>> shown("loading\ndone")
        ['printed:', '  | loading', '  | done']
        >>> shown("")
        []
    """
    lines = text.splitlines()
    if len(lines) > most:
        half = most // 2
        lines = [*lines[:half], f"... {len(lines) - 2 * half} lines left out ...", *lines[-half:]]
    return ["printed:", *(f"  | {line}" for line in lines)] if lines else []


def stdout() -> TextIO:
    """Where the report of a command goes."""
    return _now[-1].stdout if _now else sys.stdout


def stderr() -> TextIO:
    """Where the progress and the warnings of a command go."""
    return _now[-1].stderr if _now else sys.stderr


def uncaught(path: Path) -> Path:
    """Where a path such as ``/dev/stdout`` leads while output is not caught.

    Args:
        path: a file that the user has named.
    """
    if not _now or not path.exists() or not os.path.samestat(path.stat(), os.fstat(_now[-1].file.fileno())):
        return path
    return Path(f"/dev/fd/{_now[-1].originals[2 if path.name in ('stderr', '2') else 1]}")
