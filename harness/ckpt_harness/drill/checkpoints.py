"""Which checkpoints a state directory holds, and which of them are whole.

By default a checkpoint is a directory of DCP: it has the commit marker ``.metadata``, the metadata can be read, and all files that it names are there
and long enough. For others, a command or a function of the user's says what is whole; it is asked about each entry of the state directory.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from ckpt_harness.drill.evidence import Checkpoint
from ckpt_harness.drill.places import digest, files_of

MARKER = ".metadata"
"""The commit marker of DCP's file systems."""
_PIECE = re.compile(r"__[0-9]+_[0-9]+\.distcp")
_LIMIT = 60
"""Seconds that the user's command may take for one entry."""


class Whole(Protocol):
    """Knows the checkpoints of a state directory."""

    def look(self, state: Path) -> tuple[Checkpoint, ...]:
        """The checkpoints in a state directory, whole or not."""

    def name_of(self, path: str) -> str:
        """The checkpoint that a file belongs to; "" if it belongs to none."""


class DcpCheckpoints:
    """Directories that DCP has written, at any depth."""

    def __init__(self) -> None:
        self._seen: set[str] = set()
        self._missing: dict[tuple[str, str], str] = {}

    def look(self, state: Path) -> tuple[Checkpoint, ...]:
        found = []
        for place, directories, names in os.walk(state):
            directories.sort()
            if MARKER in names or any(_PIECE.fullmatch(name) for name in names):
                directory = Path(place)
                name = directory.relative_to(state).as_posix()
                self._seen.add(name)
                missing = self._what_is_missing(directory)
                found.append(Checkpoint(name, not missing, _newest_time(directory), missing))
        return tuple(found)

    def name_of(self, path: str) -> str:
        file = Path(path)
        for place in file.parents:
            if place.as_posix() in self._seen:
                return place.as_posix()
        return ""

    def _what_is_missing(self, directory: Path) -> str:
        """What keeps a directory from being a whole checkpoint; "" if nothing does. The metadata of one content is read once."""
        marker = directory / MARKER
        try:
            content = marker.read_bytes()
        except OSError:
            return f"no {MARKER}"
        sizes = {path.relative_to(directory).as_posix(): path.stat().st_size for path in files_of(directory) if path.is_file()}
        key = digest(marker), repr(sorted(sizes.items()))
        if key not in self._missing:
            self._missing[key] = _missing_by_metadata(content, sizes)
        return self._missing[key]


def _missing_by_metadata(content: bytes, sizes: dict[str, int]) -> str:
    import pickle

    from ckpt_harness import _torch

    try:
        pieces = _torch.stored_pieces(pickle.loads(content))
    except Exception as error:  # noqa: BLE001  (a torn pickle fails in any way)
        return f"{MARKER} cannot be read: {type(error).__name__}"
    for piece in pieces:
        size = sizes.get(piece.file)
        if size is None:
            return f"{piece.file} is missing"
        if size < piece.end:
            return f"{piece.file} has {size} bytes instead of {piece.end}"
    return ""


class AskedCheckpoints:
    """Entries of the state directory that the user's own judge takes for checkpoints.

    Args:
        is_whole: says of one entry whether it is a whole checkpoint.
    """

    def __init__(self, is_whole: Callable[[Path], bool]) -> None:
        self._is_whole = is_whole
        self._answers: dict[tuple[str, str], bool] = {}
        self._kinds: set[str] = set()

    def look(self, state: Path) -> tuple[Checkpoint, ...]:
        entries = sorted(state.iterdir()) if state.is_dir() else []
        answers = {}
        for entry in entries:
            key = entry.name, digest(entry)
            if key not in self._answers:
                self._answers[key] = bool(self._is_whole(entry))
            answers[entry] = self._answers[key]
            if answers[entry]:
                self._kinds.add(without_numbers(entry.name))
        return tuple(
            Checkpoint(entry.name, whole, _newest_time(entry), "" if whole else "it is not whole")
            for entry, whole in answers.items()
            if without_numbers(entry.name) in self._kinds
        )

    def name_of(self, path: str) -> str:
        entry = path.partition("/")[0]
        return entry if without_numbers(entry) in self._kinds else ""


def command_says(words: Sequence[str]) -> Callable[[Path], bool]:
    """Asks a command of the user's: status 0 says that the entry, which is its last argument, is a whole checkpoint."""

    def ask(entry: Path) -> bool:
        ran = subprocess.run(
            [*words, str(entry)], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=_LIMIT, check=False
        )
        return ran.returncode == 0

    return ask


def without_numbers(name: str) -> str:
    """A name with ``N`` for each digit, so that all checkpoints of a series have one name.

    Example:
        >>> without_numbers("step-12/rank-0.json")
        'step-NN/rank-N.json'
    """
    return re.sub("[0-9]", "N", name)


def _kind(name: str) -> str:
    """A name without its numbers, however long these are."""
    return re.sub("[0-9]+", "N", name)


def _numbers(name: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall("[0-9]+", name))


def version(name: str) -> str:
    """What parts of one checkpoint have in common: the numbers in their path, or else the first part of the path.

    Example:
        >>> version("step-4/model"), version("step-4/optim"), version("a/model")
        ('4', '4', 'a')
    """
    numbers = _numbers(name)
    return ".".join(map(str, numbers)) if numbers else name.partition("/")[0]


def in_order(checkpoints: tuple[Checkpoint, ...]) -> list[Checkpoint]:
    """Whole checkpoints, the newest first: by the numbers in their names where the names are alike, else by their time.

    Example:
        >>> [found.name for found in in_order((Checkpoint("step-8", True), Checkpoint("step-10", True), Checkpoint("step-12", False)))]
        ['step-10', 'step-8']
    """
    whole = [checkpoint for checkpoint in checkpoints if checkpoint.whole]
    alike = len({_kind(checkpoint.name) for checkpoint in whole}) == 1 and all(_numbers(checkpoint.name) for checkpoint in whole)
    if alike:
        return sorted(whole, key=lambda checkpoint: _numbers(checkpoint.name), reverse=True)
    return sorted(whole, key=lambda checkpoint: checkpoint.time, reverse=True)


def _newest_time(path: Path) -> int:
    return max((file.lstat().st_mtime_ns for file in files_of(path)), default=0)
