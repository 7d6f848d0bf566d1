"""Where a process waits, read from what ``faulthandler`` wrote at the drill's request."""

from __future__ import annotations

import re
from pathlib import Path

_FRAME = re.compile(r'  File "(?P<file>[^"]+)", line (?P<line>[0-9]+) in (?P<function>\S+)')
_LIBRARY = re.compile(r"/(site-packages|dist-packages|lib/python[0-9.]+)/|/ckpt_harness/")


def where(file: Path) -> str:
    """The innermost call of the main thread, and the line of the program that led there; "" if the process wrote nothing.

    Args:
        file: what the process wrote.
    """
    try:
        text = file.read_text("utf-8", "replace")
    except OSError:
        return ""
    main = text.rpartition("Current thread")[2] or text
    frames = [match.groupdict() for match in _FRAME.finditer(main)]
    if not frames:
        return ""
    own = next((frame for frame in frames if not _LIBRARY.search(frame["file"])), None)
    inner = frames[0]["function"]
    if own is None:
        return f"in {inner} ({_place(frames[0])})"
    return f"in {inner}, called at {_place(own)}" if own is not frames[0] else f"in {inner} ({_place(own)})"


def _place(frame: dict[str, str]) -> str:
    return f"{Path(frame['file']).name}:{frame['line']}"
