"""Kinds of damage, and how each alters the files of a checkpoint."""

from __future__ import annotations

import itertools
import struct
from collections.abc import Iterator, Mapping
from typing import Literal, NamedTuple

from ckpt_harness.cases.rank_program import ATTEMPT
from ckpt_harness.workloads.tags import Tag

DamageKind = Literal["missing", "truncated", "zeroed", "flipped", "swapped"]
DAMAGE_KINDS: tuple[DamageKind, ...] = ("missing", "truncated", "zeroed", "flipped", "swapped")
"""Gone; cut in the middle, and to nothing; all zeros, and zeros from the middle on; one bit flipped; two files in each other's place."""

_FLIPS = 100
"""Bits to flip, one at a time, in all files together; spread evenly."""
_FEWEST = 3
"""Bits to flip in each file at least."""
_VALUES = 3
"""Bits to flip within values that were saved, in each file at most."""


class Alteration(NamedTuple):
    """A checkpoint with one file damaged.

    Attributes:
        kind: the kind of damage.
        what: which file, and how, in words.
        files: what is stored then: path -> content.
    """

    kind: DamageKind
    what: str
    files: dict[str, bytes]


def alterations(files: Mapping[str, bytes], kinds: tuple[DamageKind, ...] = DAMAGE_KINDS) -> Iterator[Alteration]:
    """Damages each file in turn, and leaves out what changes nothing.

    Args:
        files: what was saved: path -> content.
        kinds: the kinds of damage to try.

    Example:
        >>> [alteration.what for alteration in alterations({"data": b"abcd"}, ("missing", "truncated"))]
        ['data: missing', 'data: 2 of 4 bytes left', 'data: 0 of 4 bytes left']
    """
    for kind in kinds:
        for name, data in files.items():
            for what, damaged in _damaged(kind, name, data, files):
                if damaged != files:
                    yield Alteration(kind, f"{name}: {what}", damaged)


def _damaged(kind: DamageKind, name: str, data: bytes, files: Mapping[str, bytes]) -> Iterator[tuple[str, dict[str, bytes]]]:
    middle = len(data) // 2
    if kind == "missing":
        yield "missing", {other: content for other, content in files.items() if other != name}
    elif kind == "truncated":
        for length in (middle, 0):
            yield f"{length} of {len(data)} bytes left", {**files, name: data[:length]}
    elif kind == "zeroed":
        for start in (middle, 0):
            yield f"zeros from byte {start} on", {**files, name: data[:start] + bytes(len(data) - start)}
    elif kind == "flipped":
        for position in _flipped_bytes(data, sum(map(len, files.values()))):
            bit = position % 8
            flipped = bytes([data[position] ^ 1 << bit])
            yield f"bit {bit} of byte {position} flipped", {**files, name: data[:position] + flipped + data[position + 1 :]}
    else:
        for other in files:
            if other > name:
                yield f"in the place of {other}, and the other way round", {**files, name: files[other], other: data}


def _flipped_bytes(data: bytes, all_bytes: int) -> list[int]:
    """The bytes of a file in which a bit is flipped: spread evenly, and some within values that were saved."""
    if not data:
        return []
    count = min(len(data), max(_FEWEST, _FLIPS * len(data) // all_bytes))
    spread = (index * len(data) // count for index in range(count))
    return sorted({*spread, *itertools.islice(_saved_values(data), _VALUES)})


def _saved_values(data: bytes) -> Iterator[int]:
    """Where a file holds values that were saved, if it stores them as they are.

    Most bytes of a file are padding, so that flips that are spread evenly may miss all values.
    """
    for position in range(len(data) - 7):
        tag = Tag.decode(struct.unpack_from("<d", data, position)[0])
        if tag is not None and tag.save == ATTEMPT:
            yield position
