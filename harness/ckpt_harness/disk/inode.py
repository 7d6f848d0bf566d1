"""The contents of a single file: what may survive of its bytes and of its length."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ckpt_harness.disk.journal import DiskOp, overwrite

BLOCK = 4096
"""Bytes that survive together: a page of the cache, and a block of the usual file systems."""

_MANY = 64
"""Ways to choose a version for each block of a file, up to which every one is tried; of more, only those that are torn in one place."""


@dataclass(frozen=True)
class Option:
    """One way in which something may have survived.

    Attributes:
        value: how much of it, as its model counts.
        lost: what did not, in words; "" if all of it did.
    """

    value: Any
    lost: str = ""


@dataclass
class Inode:
    """A file, whatever its names.

    Attributes:
        name: the last that it had, for words.
        durable: what survives in any case.
        content: what processes see.
        emptied: whether it was truncated since it was durable.
        lengths: how long it was after each write since.
        versions: number of a block -> what it held after each write since that touched it, the last one last.
        changed: how many changes of directories there were when its names or its length last changed.
        complete: whether every way in which its blocks may be left was looked at.
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
        start = min(op.offset, len(self.content))  # a gap reads as zeros, and is written with what follows it
        overwrite(self.content, op.offset, op.data)
        self.lengths.append(len(self.content))
        for number in range(start // BLOCK, math.ceil((op.offset + len(op.data)) / BLOCK)):
            self.versions.setdefault(number, []).append(_padded(self.content, number))

    def truncate(self) -> None:
        self.content, self.emptied = bytearray(), True
        self.lengths.append(0)  # what was written before may have become durable, and the truncation not

    def sync(self) -> None:
        self.durable, self.emptied = bytes(self.content), False
        self.lengths, self.versions = [], {}

    def ordered(self) -> list[Option]:
        """What may be left of a file that is never shorter than it was: a truncation makes another file of it."""
        return self._options(len(self.durable), [self.durable])

    def posix(self) -> list[Option]:
        """What may be left of a file of which the length may have any age."""
        shortest = 0 if self.emptied else min(len(self.content), len(self.durable))
        return self._options(shortest, [self.durable, b""] if self.emptied else [self.durable])

    def _options(self, shortest: int, before: Sequence[bytes]) -> list[Option]:
        """All lengths from the shortest on; each block after any write, or as it was before them."""
        now, old = bytes(self.content), self.durable
        if now == old and not (self.emptied or self.versions):
            return [Option(now)]
        longest = max(len(now), len(old), *self.lengths)
        lengths = {one for one in (len(now), len(old), *self.lengths, *range(0, longest, BLOCK)) if one >= shortest}
        found = {now: Option(now)}
        for length in sorted(lengths, reverse=True):
            choices = [
                list(dict.fromkeys([*reversed(self.versions.get(number, [])), *(_padded(one, number) for one in before)]))
                for number in range(math.ceil(length / BLOCK))
            ]
            few = math.prod(map(len, choices)) <= _MANY
            self.complete &= few
            for blocks in itertools.product(*choices) if few else _torn(choices, anywhere=length == longest):
                content = b"".join(blocks)[:length]
                if content not in found:
                    same = sum(one == _padded(now, number) for number, one in enumerate(blocks))
                    count = math.ceil(len(now) / BLOCK)
                    found[content] = Option(content, f"{self.name}: {length} of {len(now)} bytes, {same} of {count} blocks as written last")
        return [found[content] for content in sorted(found, key=lambda one: not now.startswith(one))]  # what is only cut short comes first


Blocks = tuple[bytes, ...]


def _padded(content: bytes | bytearray, number: int) -> bytes:
    return bytes(content[number * BLOCK : (number + 1) * BLOCK]).ljust(BLOCK, b"\0")


def _torn(choices: Sequence[Sequence[bytes]], *, anywhere: bool) -> Iterator[Blocks]:
    """The newest version of the blocks before some place and the oldest of those after, and the other way round; or only at the ends."""
    newest, oldest = tuple(one[0] for one in choices), tuple(one[-1] for one in choices)
    for end in range(len(choices), -1, -1) if anywhere else (len(choices), len(choices) - 1, 0):
        yield newest[:end] + oldest[end:]
        yield oldest[:end] + newest[end:]
