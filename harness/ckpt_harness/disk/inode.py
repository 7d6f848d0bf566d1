"""A single file: what may survive of its bytes and of its length."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ckpt_harness.disk.journal import DiskOp, overwrite

BLOCK = 4096
"""Bytes that survive together: a page of the page cache, and a block of common file systems."""

_MANY = 64
"""Up to this many combinations of block versions, all are enumerated; above, only those in which the file is torn in one place."""


@dataclass(frozen=True)
class Option:
    """A way in which a file, or a change of a directory, may have survived.

    Attributes:
        value: what survived: the content of a file; of changes, whether or how many survived.
        lost: what did not survive, in words; "" if nothing was lost.
    """

    value: Any
    lost: str = ""


@dataclass
class Inode:
    """A file, independent of its names.

    Attributes:
        name: the file's latest name, for messages.
        durable: the content at the last ``fsync``, which survives in any case.
        content: the content that processes see.
        emptied: whether the file was truncated since the last ``fsync``.
        lengths: the length after each write since the last ``fsync``.
        versions: number of a block -> its content after each write since the last ``fsync``, latest last.
        changed: the number of changes of directories when the file's name or length last changed.
        complete: whether all combinations of block versions were enumerated.
    """

    name: str
    durable: bytes = b""
    content: bytearray = field(default_factory=bytearray)
    emptied: bool = False
    lengths: list[int] = field(default_factory=list)
    versions: dict[int, list[bytes]] = field(default_factory=dict)
    changed: int = 0
    complete: bool = True

    def write(self, op: DiskOp) -> None:
        """Applies a write."""
        start = min(op.offset, len(self.content))  # a gap before the write is filled with zeros, and belongs to the write
        overwrite(self.content, op.offset, op.data)
        self.lengths.append(len(self.content))
        for number in range(start // BLOCK, math.ceil((op.offset + len(op.data)) / BLOCK)):
            self.versions.setdefault(number, []).append(_padded(self.content, number))

    def truncate(self) -> None:
        """Empties the file."""
        self.content, self.emptied = bytearray(), True
        self.lengths.append(0)  # earlier writes may become durable without the truncation

    def sync(self) -> None:
        """Makes the content durable (``fsync``)."""
        self.durable, self.emptied = bytes(self.content), False
        self.lengths, self.versions = [], {}

    def ordered(self) -> list[Option]:
        """What may survive in the model ``ordered``. The file does not get shorter: that model treats a truncation as a new file."""
        return self._options(len(self.durable), [self.durable])

    def posix(self) -> list[Option]:
        """What may survive in the model ``posix``. The length may be that after any write."""
        shortest = 0 if self.emptied else min(len(self.content), len(self.durable))
        return self._options(shortest, [self.durable, b""] if self.emptied else [self.durable])

    def _options(self, shortest: int, before: Sequence[bytes]) -> list[Option]:
        """Enumerates contents: every length from ``shortest`` on, and for each block its content in ``before`` or after any write.

        The current content comes first, then contents that are only cut short.
        """
        now = bytes(self.content)
        if now == self.durable and not (self.emptied or self.versions):
            return [Option(now)]
        found = {now: Option(now)}
        for length in self._possible_lengths(shortest):
            for blocks in self._combinations(length, before):
                content = b"".join(blocks)[:length]
                if content not in found:
                    found[content] = Option(content, self._loss(length, blocks))
        return [found[content] for content in sorted(found, key=lambda content: not now.startswith(content))]

    def _possible_lengths(self, shortest: int) -> list[int]:
        """Lengths that the file may have, longest first."""
        written = [len(self.content), len(self.durable), *self.lengths]
        lengths = {*written, *range(0, max(written), BLOCK)}
        return sorted((length for length in lengths if length >= shortest), reverse=True)

    def _combinations(self, length: int, before: Sequence[bytes]) -> Iterable[Blocks]:
        """Combinations of block versions for a length, newest versions first."""
        choices = []
        for number in range(math.ceil(length / BLOCK)):
            written = reversed(self.versions.get(number, []))
            old = (_padded(content, number) for content in before)
            choices.append(list(dict.fromkeys([*written, *old])))
        if math.prod(map(len, choices)) <= _MANY:
            return itertools.product(*choices)
        self.complete = False
        longest = max(len(self.content), len(self.durable), *self.lengths)
        return _torn(choices, anywhere=length == longest)

    def _loss(self, length: int, blocks: Blocks) -> str:
        """Describes how a content differs from the latest one."""
        now = self.content
        same = sum(block == _padded(now, number) for number, block in enumerate(blocks))
        return f"{self.name}: {length} of {len(now)} bytes, {same} of {math.ceil(len(now) / BLOCK)} blocks as last written"


Blocks = tuple[bytes, ...]


def _padded(content: bytes | bytearray, number: int) -> bytes:
    """The block of that number, filled up with zeros."""
    return bytes(content[number * BLOCK : (number + 1) * BLOCK]).ljust(BLOCK, b"\0")


def _torn(choices: Sequence[Sequence[bytes]], *, anywhere: bool) -> Iterator[Blocks]:
    """Combinations that are torn in one place: the newest versions before it and the oldest after it, or the reverse.

    Args:
        choices: the versions of each block, newest first.
        anywhere: whether to tear at every block; otherwise only at the end and before the last block.
    """
    newest = tuple(versions[0] for versions in choices)
    oldest = tuple(versions[-1] for versions in choices)
    places = range(len(choices), -1, -1) if anywhere else (len(choices), len(choices) - 1, 0)
    for end in places:
        yield newest[:end] + oldest[end:]
        yield oldest[:end] + newest[end:]
