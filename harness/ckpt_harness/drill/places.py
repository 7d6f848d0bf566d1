"""Copies of the state directory, and the command and the environment with a copy's path in the place of the original's."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

_FICLONE = 0x40049409
"""The ioctl that lets a new file share the blocks of another, on file systems such as btrfs and XFS."""


def copy_tree(origin: Path, target: Path) -> None:
    """Copies a file or a directory with its times, links and hard links; blocks are shared where the file system can. A missing origin leaves nothing.

    Args:
        origin: what to copy.
        target: the copy; must not be there.
    """
    linked: dict[tuple[int, int], Path] = {}
    if origin.is_dir() and not origin.is_symlink():
        _copy_directory(origin, target, linked)
    elif origin.exists() or origin.is_symlink():
        target.parent.mkdir(parents=True, exist_ok=True)
        _copy_entry(origin, target, linked)


def _copy_directory(origin: Path, target: Path, linked: dict[tuple[int, int], Path]) -> None:
    target.mkdir(parents=True)
    for entry in os.scandir(origin):
        if entry.is_dir(follow_symlinks=False):
            _copy_directory(Path(entry.path), target / entry.name, linked)
        else:
            _copy_entry(Path(entry.path), target / entry.name, linked)
    shutil.copystat(origin, target)


def _copy_entry(origin: Path, target: Path, linked: dict[tuple[int, int], Path]) -> None:
    if origin.is_symlink():
        target.symlink_to(origin.readlink())
        return
    if not origin.is_file():
        return  # a socket or a pipe: none survives a death of its owner
    found = origin.stat()
    key = found.st_dev, found.st_ino
    if found.st_nlink > 1 and key in linked:
        os.link(linked[key], target)
        return
    linked[key] = target
    with origin.open("rb") as source, target.open("wb") as copy:
        try:
            fcntl.ioctl(copy.fileno(), _FICLONE, source.fileno())
        except OSError:
            shutil.copyfileobj(source, copy, 1 << 20)
    shutil.copystat(origin, target)


def remove_tree(path: Path) -> None:
    """Removes a file or a directory, whatever rights its directories have."""
    if path.is_dir() and not path.is_symlink():
        for place, _, _ in os.walk(path):
            with contextlib.suppress(OSError):
                Path(place).chmod(0o700)
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def files_of(root: Path) -> Iterator[Path]:
    """Every entry below a directory that is no directory, in the order of names; a file itself if the root is one."""
    if root.is_file() or root.is_symlink():
        yield root
        return
    for place, directories, names in os.walk(root):
        directories.sort()
        for name in sorted(names):
            yield Path(place, name)


def digest(root: Path) -> str:
    """What a file or a directory holds, as a text: names and contents, without times.

    Example:
        >>> digest(Path("/nowhere"))[:8]
        'e3b0c442'
    """
    total = hashlib.sha256()
    for place, directories, _ in os.walk(root):
        directories.sort()
        total.update(os.path.relpath(place, root).encode("utf-8", "surrogateescape") + b"/\0")
    for path in files_of(root):
        total.update(os.path.relpath(path, root).encode("utf-8", "surrogateescape") + b"\0")
        total.update(os.fsencode(path.readlink()) if path.is_symlink() else hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


class Substitution:
    """Puts the path of a copy in the place of the original's, wherever words name the original: as the user wrote it, or as an absolute path.

    Args:
        original: the path as the user wrote it.
        copy: the path of the copy, absolute.

    Example:
        >>> Substitution("runs/1", "/tmp/copy/1").of("--dir=runs/1/logs:runs/10")
        '--dir=/tmp/copy/1/logs:runs/10'
    """

    def __init__(self, original: str, copy: str) -> None:
        self._copy = copy
        plain = original.rstrip("/") or "/"
        spellings = {plain, os.path.normpath(plain), os.path.abspath(plain), os.path.realpath(plain)} - {"."}  # noqa: PTH100
        alternatives = "|".join(re.escape(spelling) for spelling in sorted(spellings, key=len, reverse=True))
        self._pattern = re.compile(rf"(?<![\w./~-])(?:\./)?(?:{alternatives})(?![\w.~-])")

    def of(self, text: str) -> str:
        """The text with the copy's path in the place of the original's."""
        return self._pattern.sub(lambda _: self._copy, text)

    def words(self, words: Sequence[str]) -> list[str]:
        """The words of a command with the copy's path."""
        return [self.of(word) for word in words]

    def environment(self, environment: Mapping[str, str]) -> dict[str, str]:
        """An environment with the copy's path."""
        return {name: self.of(value) for name, value in environment.items()}
