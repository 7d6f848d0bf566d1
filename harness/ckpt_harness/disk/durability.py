"""What a crash may leave behind: all states of the files that a durability model allows, enumerated from a journal.

There are three models. Each states what survives the crash.

``kill``
    The processes die; the operating system keeps running.

    - Every operation in the journal survives. Data in a buffer of a process is lost; the journal does not contain it.
    - A write in progress may be cut off at any block.

``ordered``
    A power cut, on a file system like ext4 with its defaults (``data=ordered``, delayed allocation).

    - Changes of directories, and truncations, survive in order, up to some moment. ``fsync`` of a file makes all changes durable up to the last
      change of that file's own name or length; ``fsync`` of a directory, up to the last change of that directory. If there was no such change since
      the previous ``fsync``, no other change becomes durable.
    - Data written to a file before its ``fsync`` survives. Data written later may be written back by the system at any time, and the new length may
      become durable before the data. So the file is as long as it was before, or after some write, or up to some block; and each block has its
      old content, or its content after some write, or zeros where there was no content.

``posix``
    A power cut, with only the guarantees that POSIX gives for ``fsync``.

    - Entries of a directory survive once the directory was synced. Before, each change survives or not, independently of the others.
    - A rename survives as a whole or not at all.
    - The bytes of a file survive once the file was synced. Before, each block has its old content or its content after any write since; the length
      likewise.

In all models, files that existed before the journal began are durable.

Not modelled: blocks that the device tears or damages; a device that lies about ``fsync``; writes of several blocks that the device reorders after
``fsync``; lost metadata of the file system (``fsck``); guarantees of network file systems. If a file could be torn in very many ways, only states in
which it is torn in one place are enumerated, and the result is a sample.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from ckpt_harness.disk.entries import State
from ckpt_harness.disk.inode import BLOCK, Option
from ckpt_harness.disk.journal import DiskOp, files_after
from ckpt_harness.disk.model_ordered import Ordered
from ckpt_harness.disk.model_posix import Posix

Model = Literal["kill", "ordered", "posix"]
MODELS: tuple[Model, ...] = ("kill", "ordered", "posix")
"""The durability models, weakest crash first."""

LIMIT = 1024
"""Default for the number of combinations to enumerate after each operation."""


@dataclass(frozen=True)
class States:
    """The states that a crash at a certain moment may leave.

    Attributes:
        found: distinct states; the state in which everything survived comes first.
        possible: the number of combinations that could be enumerated; if ``exhaustive``, the number that the model allows.
        exhaustive: whether all states that the model allows are in ``found``; otherwise ``found`` is a sample.
    """

    found: tuple[State, ...]
    possible: int
    exhaustive: bool


def states_after(
    ops: Sequence[DiskOp], before: Mapping[str, bytes], model: Model, *, limit: int = LIMIT, seed: int = 0, under_way: DiskOp | None = None
) -> States:
    """Enumerates the states that a crash may leave.

    Args:
        ops: the operations that were complete at the moment of the crash.
        before: the files that existed when the journal began: path -> content. They are durable.
        model: the durability model.
        limit: the largest number of combinations to enumerate; if there are more, a random sample is drawn.
        seed: seed of the sample.
        under_way: the operation in progress at the moment of the crash; a write may be cut off.

    Example:
        A file is replaced by ``rename`` without ``fsync``. After a power cut, the file may be empty:

        >>> ops = [DiskOp(0, "create", "tmp"), DiskOp(0, "write", "tmp", 0, b"new"), DiskOp(0, "rename", "tmp", to="data")]
        >>> states = states_after(ops, {"data": b"old"}, "ordered")
        >>> states.found[1]
        State(files={'data': b''}, lost=('data: 0 of 3 bytes, 0 of 1 blocks as last written',))
    """
    if model == "kill":
        return _killed(ops, before, under_way)
    choices = Ordered(ops, before) if model == "ordered" else Posix(ops, before)
    possible = math.prod(len(options) for options in choices.dimensions)
    all_of_them = possible <= limit
    picks = _every(choices.dimensions) if all_of_them else _sample(choices.dimensions, limit, seed)
    found: dict[tuple[tuple[str, bytes], ...], State] = {}
    for pick in picks:
        state = choices.state([options[index] for options, index in zip(choices.dimensions, pick, strict=True)])
        found.setdefault(tuple(sorted(state.files.items())), state)
    return States(tuple(found.values()), possible, all_of_them and all(inode.complete for inode in choices.inodes))


def _killed(ops: Sequence[DiskOp], before: Mapping[str, bytes], under_way: DiskOp | None) -> States:
    """The model ``kill``: all operations survive, and a write in progress may be cut off at any block."""
    found = [State(files_after(ops, before))]
    if under_way is not None and under_way.kind == "write":
        for end in range(BLOCK - under_way.offset % BLOCK, len(under_way.data), BLOCK):
            cut = under_way._replace(data=under_way.data[:end])
            found.append(State(files_after([*ops, cut], before), (f"{under_way}: cut after {end} bytes",)))
    return States(tuple(found), len(found), exhaustive=True)


def _every(dimensions: Sequence[Sequence[Option]]) -> Iterator[tuple[int, ...]]:
    """All combinations, as the index of the chosen option in each dimension."""
    return itertools.product(*(range(len(options)) for options in dimensions))


def _sample(dimensions: Sequence[Sequence[Option]], limit: int, seed: int) -> Iterator[tuple[int, ...]]:
    """Draws combinations: everything survives; nothing survives; each change alone is lost; each change alone survives; then random ones."""
    rng = random.Random(seed)
    best, worst = [0] * len(dimensions), [len(options) - 1 for options in dimensions]
    picks = [tuple(best), tuple(worst)]
    for index, options in enumerate(dimensions):
        if len(options) == 1:
            continue
        picks += [(*best[:index], choice, *best[index + 1 :]) for choice in range(1, len(options))]
        picks.append((*worst[:index], 0, *worst[index + 1 :]))
    yield from picks[:limit]
    for _ in range(limit - len(picks)):
        yield tuple(rng.randrange(len(options)) for options in dimensions)
