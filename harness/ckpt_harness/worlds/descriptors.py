"""Descriptors of this process that lead to files, so that a world can see which files a body has left open.

Only files and directories count. Sockets, pipes and the like are opened by libraries when they are first used, and are kept for good reasons.

Not modelled: without ``/proc/self/fd`` (macOS, Windows) nothing is seen, and the answer is None.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

_HOME = Path("/proc/self/fd")
_DELETED = " (deleted)"
"""What Linux adds to the path of a file that was removed while it was open."""


def open_files() -> dict[int, str] | None:
    """The descriptors of this process that lead to a file or a directory.

    Returns:
        Descriptor -> path, also of a file that has been removed; None where the system does not say.
    """
    try:
        descriptors = os.listdir(_HOME)  # noqa: PTH208  (numbers are wanted, and no paths)
    except OSError:
        return None
    files = {}
    for descriptor in descriptors:
        try:
            target = os.readlink(f"{_HOME}/{descriptor}")  # noqa: PTH115  (the text of the link: the file may be gone)
        except OSError:
            continue  # closed since; for example, the descriptor by which the directory was listed
        if target.startswith("/"):
            files[int(descriptor)] = target.removesuffix(_DELETED)
    return files


def left_open(before: Mapping[int, str] | None, now: Mapping[int, str] | None) -> tuple[str, ...] | None:
    """The files that were opened since and are still open: one path for each descriptor, in order; None where the system does not say.

    Args:
        before: what :func:`open_files` gave earlier.
        now: what it gives now.

    Example:
        >>> left_open({3: "/a"}, {3: "/a", 4: "/b", 5: "/b"})
        ('/b', '/b')
    """
    if before is None or now is None:
        return None
    return tuple(sorted(path for descriptor, path in now.items() if before.get(descriptor) != path))
