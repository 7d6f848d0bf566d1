"""Where a thread waits: the innermost source line outside the harness and torch's wrappers."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from types import FrameType

_MACHINERY = (  # modules whose frames are skipped
    "ckpt_harness.worlds.simulated",
    "ckpt_harness.runtime",
    "torch.distributed.distributed_c10d",
    "torch.distributed.c10d_logger",
    "torch.distributed._functional_collectives",
    "torch.utils._contextlib",
    "torch._ops",
    "torch.futures",
    "threading",
    "queue",
    "concurrent.futures",
    "contextlib",
)


def stack_of(ident: int | None) -> Iterator[FrameType]:
    """Yields the frames of the thread ``ident``, innermost first; nothing if it has ended."""
    frame = sys._current_frames().get(ident) if ident is not None else None
    while frame is not None:
        yield frame
        frame = frame.f_back


def innermost(frames: Iterator[FrameType]) -> str:
    """Returns the first line outside the harness and the wrappers around waits, as ``package/file.py:line in function``.

    If all frames belong to the harness, as for a body in ``ckpt_harness.worlds.contract``, this is the first line outside the simulated world.
    """
    own = ""
    for frame in frames:
        module = str(frame.f_globals.get("__name__", ""))
        if _within(module, _MACHINERY):
            continue
        line = f"{_relative(frame, module)}:{frame.f_lineno} in {frame.f_code.co_name}"
        if not _within(module, ("ckpt_harness",)):
            return line
        own = own or line
    return own or "its first line"


def _within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == package or module.startswith(package + ".") for package in packages)


def _relative(frame: FrameType, module: str) -> str:
    """The path of the file relative to the directory of its top package, which is the same on every machine."""
    path = os.path.normpath(frame.f_code.co_filename).replace(os.sep, "/")
    parts = path.split("/")
    depth = module.count(".") + (2 if parts[-1] == "__init__.py" else 1)
    return "/".join(parts[-depth:])
