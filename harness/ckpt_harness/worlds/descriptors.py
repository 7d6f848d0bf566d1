"""Descriptors of this process that lead to files, so that a world can see which files a body has left open.

Only files and directories count. Sockets, pipes and the like are opened by libraries when they are first used, and are kept for good reasons.

Not modelled: without ``/proc/self/fd`` (macOS, Windows) nothing is seen, and the answer is None.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

_HOME = Path("/proc/self/fd")
_DELETED = " (deleted)"
"""What Linux adds to the path of a file that was removed while it was open."""


class OpenFile(NamedTuple):
    """A file or directory that is open.

    Attributes:
        path: its path now, also where it has been removed.
        identity: device and number of the file, which stay the same where the file is renamed.
    """

    path: str
    identity: tuple[int, int] = (0, 0)


def open_files() -> dict[int, OpenFile] | None:
    """The descriptors of this process that lead to a file or a directory.

    Returns:
        Descriptor -> file; None where the system does not say.
    """
    try:
        descriptors = os.listdir(_HOME)  # noqa: PTH208  (numbers are wanted, and no paths)
    except OSError:
        return None
    files = {}
    for descriptor in descriptors:
        try:
            target = os.readlink(f"{_HOME}/{descriptor}")  # noqa: PTH115  (the text of the link: the file may be gone)
            status = os.fstat(int(descriptor))
        except OSError:
            continue  # closed since; for example, the descriptor by which the directory was listed
        if target.startswith("/"):
            files[int(descriptor)] = OpenFile(target.removesuffix(_DELETED), (status.st_dev, status.st_ino))
    return files


def left_open(before: Mapping[int, OpenFile] | None, now: Mapping[int, OpenFile] | None) -> tuple[str, ...] | None:
    """The files that were opened since and are still open: one path for each descriptor, in order; None where the system does not say.

    A file that was open and has been renamed since is no new file.

    Args:
        before: what :func:`open_files` gave earlier.
        now: what it gives now.

    Example:
        >>> old, new = OpenFile("/a", (0, 1)), OpenFile("/b", (0, 2))
        >>> left_open({3: old}, {3: OpenFile("/renamed", (0, 1)), 4: new, 5: new})
        ('/b', '/b')
    """
    if before is None or now is None:
        return None
    known = {descriptor: file.identity for descriptor, file in before.items()}
    return tuple(sorted(file.path for descriptor, file in now.items() if known.get(descriptor) != file.identity))
