"""What a crash may leave of what was written: every state of the files that a durability model allows, from a journal.

Three models, each stated as what survives:

``kill``
    The processes die, the operating system does not.

    - Every operation in the journal survives; what was still in a buffer of a process is not in the journal.
    - The write that was under way may have been cut at any block.

``ordered``
    The power is cut, on a file system like ext4 with its defaults (``data=ordered``, delayed allocation).

    - Changes of directories and truncations survive in their order, up to some moment. ``fsync`` of a file or directory makes those survive that came
      no later than the last change of that file's own name or length, or of that directory: if there was none since, ``fsync`` writes no other.
    - What was written to a file before its ``fsync`` survives. What was written after, the system may write back at any time, and it notes the new
      length before the bytes are there: the file is as long as it was, or as after some write, or up to some block; and each block is as it was, or as
      after some write, and reads as zeros where there was nothing.

``posix``
    The power is cut, and nothing is promised beyond what POSIX says of ``fsync``.

    - A directory's entries survive once the directory was synced; before, each change survives or not, whatever becomes of the others.
    - A rename survives as a whole or not at all.
    - A file's bytes survive once the file was synced; before, each block is as it was, or as after any write since, and so is the length.

In all of them what was there before the journal began is durable.

Not modelled: blocks that the device tears or damages, a device that lies about ``fsync``, writes of several blocks that the device reorders after
``fsync``, metadata of the file system that is lost (``fsck``), and what a network file system promises. Of a file that has very many ways to be
torn, only those are looked at in which it is torn in one place, and the states then are a sample.
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
from ckpt_harness.disk.ordered import Ordered
from ckpt_harness.disk.posix import Posix

Model = Literal["kill", "ordered", "posix"]
MODELS: tuple[Model, ...] = ("kill", "ordered", "posix")

LIMIT = 1024
"""Combinations that are looked at for each point, unless another number is asked for."""


@dataclass(frozen=True)
class States:
    """What a crash may leave at one point.

    Attributes:
        found: distinct states; the one in which everything survived comes first.
        possible: how many combinations there are of the ways to survive that were looked at; where ``exhaustive``, all that the model allows.
        exhaustive: whether all that the model allows were looked at; otherwise ``found`` is a sample.
    """

    found: tuple[State, ...]
    possible: int
    exhaustive: bool


def states_after(
    ops: Sequence[DiskOp], before: Mapping[str, bytes], model: Model, *, limit: int = LIMIT, seed: int = 0, under_way: DiskOp | None = None
) -> States:
    """Enumerates what a crash may leave.

    Args:
        ops: what had acted when it came.
        before: the files that were there, durable, when the journal began.
        model: what survives.
        limit: how many combinations are looked at; where there are more, a sample is drawn.
        seed: of the sample.
        under_way: the operation that was acting, for a write that may be cut.
    """
    if model == "kill":
        return _killed(ops, before, under_way)
    choices = Ordered(ops, before) if model == "ordered" else Posix(ops, before)
    possible = math.prod(len(one) for one in choices.dimensions)
    all_of_them = possible <= limit
    picks = itertools.product(*(range(len(one)) for one in choices.dimensions)) if all_of_them else _sample(choices.dimensions, limit, seed)
    found: dict[tuple[tuple[str, bytes], ...], State] = {}
    for pick in picks:
        state = choices.state([options[index] for options, index in zip(choices.dimensions, pick, strict=True)])
        found.setdefault(tuple(sorted(state.files.items())), state)
    return States(tuple(found.values()), possible, all_of_them and all(inode.complete for inode in choices.inodes))


def _killed(ops: Sequence[DiskOp], before: Mapping[str, bytes], under_way: DiskOp | None) -> States:
    found = [State(files_after(ops, before))]
    if under_way is not None and under_way.kind == "write":
        for end in range(BLOCK - under_way.offset % BLOCK, len(under_way.data), BLOCK):
            cut = under_way._replace(data=under_way.data[:end])
            found.append(State(files_after([*ops, cut], before), (f"{under_way}: cut after {end} bytes",)))
    return States(tuple(found), len(found), exhaustive=True)


def _sample(dimensions: Sequence[Sequence[Option]], limit: int, seed: int) -> Iterator[tuple[int, ...]]:
    """All survive, none does, each alone is lost, each alone survives; then at random."""
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
