"""The files that a case leaves open, below the directory that it runs in."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.descriptors import left_open, open_files

_OF_THE_SYSTEM = ("/dev/", "/proc/", "/sys/")
"""Where paths begin that lead to no file of a disk."""


class OpenFiles:
    """The files below a directory that a case leaves open. A file elsewhere may be one that a library keeps open for good.

    Simulated ranks share this process, so a file that one of them leaves open is found here, and belongs to no particular rank. A rank that is a process
    of its own looks at its own descriptors; files that this process has open do not count then.

    Args:
        root: the directory that the case runs in.
        in_this_process: whether the ranks share this process.
    """

    def __init__(self, root: Path, *, in_this_process: bool) -> None:
        self._root = Path(os.path.realpath(root))
        self._here = in_this_process
        self._before = open_files() if in_this_process else None
        self._by_owner: dict[str, tuple[str, ...] | None] = {}

    def look(self, results: Sequence[RankResult]) -> None:
        """The world is over: notes which files are open that were not.

        Args:
            results: how each rank ended.
        """
        if self._here:
            self._by_owner = {"": left_open(self._before, open_files())}
        else:
            self._by_owner = {f"rank {result.rank}: ": result.left_open for result in results if result.outcome in ("returned", "raised")}

    @property
    def seen(self) -> bool:
        """Whether the system says which files are open."""
        return None not in self._by_owner.values()

    def left(self) -> Iterator[str]:
        """Yields a text for each file that is open.

        Example:
            >>> files = OpenFiles(Path("/job"), in_this_process=False)
            >>> files.look([RankResult(0, "returned", left_open=("/job/a", "/job/a", "/etc/hosts"))])
            >>> list(files.left())
            ['rank 0: a is still open, with 2 descriptors']
        """
        for owner, paths in self._by_owner.items():
            files = [Path(path).relative_to(self._root) for path in paths or () if self._is_inside(path)]
            for file, count in Counter(files).items():
                yield f"{owner}{file} is still open" + (f", with {count} descriptors" if count > 1 else "")

    def elsewhere(self) -> tuple[str, ...]:
        """The files outside of the directory that simulated ranks have opened and left open. A library may have opened them for good.

        Devices do not count. Of ranks that are processes nothing is reported: each new process opens what its libraries need.
        """
        if not self._here:
            return ()
        paths = self._by_owner.get("") or ()
        return tuple(path for path in paths if not self._is_inside(path) and not path.startswith(_OF_THE_SYSTEM))

    def _is_inside(self, path: str) -> bool:
        return Path(path).is_relative_to(self._root)
