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
from dataclasses import dataclass, field
from typing import Any, Literal

from ckpt_harness.disk.journal import DiskOp, Files, files_after, overwrite

Model = Literal["kill", "ordered", "posix"]
MODELS: tuple[Model, ...] = ("kill", "ordered", "posix")

Shown = Literal["new", "old", "nothing", "error", "mixture", "wrong", "disagreement", "hang"]
SHOWN: tuple[Shown, ...] = ("new", "old", "nothing", "error", "mixture", "wrong", "disagreement", "hang")
"""What a reader may get of what is left, the best first: the new checkpoint, the old one; no checkpoint at all; a commit marker, and a clean error on
every rank; values of two saves; other values; success on some ranks only; no end."""

BLOCK = 4096
"""Bytes that survive together: a page of the cache, and a block of the usual file systems."""
LIMIT = 1024
"""Combinations that are looked at for each point, unless another number is asked for."""
_MANY = 64
"""Ways to choose a version for each block of a file, up to which every one is tried; of more, only those that are torn in one place."""


@dataclass(frozen=True)
class State:
    """Files that a crash may leave.

    Attributes:
        files: path -> content.
        lost: what of the operations did not survive, in words.
    """

    files: Files
    lost: tuple[str, ...] = ()


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
    choices = _Ordered(ops, before) if model == "ordered" else _Posix(ops, before)
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
class _Inode:
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


class _Entries:
    """The names and contents of files, as they change; what changed of the names, in order.

    Those who derive from it say what may have survived: one dimension for each thing that may or may not have, and the files that a choice leaves.
    """

    def __init__(self, before: Mapping[str, bytes]) -> None:
        self.inodes = [_Inode(path, data, bytearray(data)) for path, data in before.items()]
        self.names = dict(zip(before, range(len(self.inodes)), strict=True))
        self.durable_names = dict(self.names)
        self.changes: list[tuple[DiskOp, int | None]] = []

    def inode(self, path: str) -> _Inode:
        return self.inodes[self.names[path]]

    def create(self, op: DiskOp) -> None:
        self.inodes.append(_Inode(op.path))
        self.names[op.path] = len(self.inodes) - 1
        self._note(op, self.names[op.path])

    def write(self, op: DiskOp) -> None:
        inode = self.inode(op.path)
        length = len(inode.content)
        inode.write(op)
        if len(inode.content) > length:
            inode.changed = len(self.changes)

    def change(self, op: DiskOp) -> None:
        """A rename, a removal, or a new directory."""
        number = self.names.get(op.path)
        _apply(self.names, op, number)
        if op.kind == "rename" and number is not None:
            self.inodes[number].name = op.to
        self._note(op, number)

    def _note(self, op: DiskOp, number: int | None) -> None:
        self.changes.append((op, number))
        if number is not None:
            self.inodes[number].changed = len(self.changes)


def _apply(names: dict[str, int], op: DiskOp, number: int | None) -> None:
    """A change of directories, as it survives whether or not those before it did.

    Args:
        names: path -> number of the file; changed.
        op: the change.
        number: of the file that it is about; None for a directory.
    """
    if op.kind == "create" and number is not None:
        names[op.path] = number
    elif op.kind == "rename" and number is None:
        for path in [path for path in names if path.startswith(f"{op.path}/")]:
            names[op.to + path[len(op.path) :]] = names.pop(path)
    elif op.kind in ("rename", "unlink") and number is not None:
        if names.get(op.path) == number:
            del names[op.path]
        if op.kind == "rename":
            names[op.to] = number


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: end + 1]) for end in range(len(parts))]


class _Ordered(_Entries):
    """What the model ``ordered`` allows."""

    def __init__(self, ops: Sequence[DiskOp], before: Mapping[str, bytes]) -> None:
        super().__init__(before)
        floor = 0
        for op in ops:
            if op.kind == "create":
                self.create(op)  # a truncation too is a change in order, after which the file is another
            elif op.kind in ("rename", "unlink", "mkdir"):
                self.change(op)
            elif op.kind == "write":
                self.write(op)
            elif op.kind == "fsync":
                if op.path in self.names:
                    floor = max(floor, self.inode(op.path).changed)
                    self.inode(op.path).sync()
                else:
                    own = [end for end, (one, _) in enumerate(self.changes, 1) if op.path in {one.path, one.to} | _directories(one)]
                    floor = max(floor, *own, 0)
        moments = [Option(end, "; ".join(str(op) for op, _ in self.changes[end:])) for end in range(len(self.changes), floor - 1, -1)]
        self.dimensions = [moments, *(inode.ordered() for inode in self.inodes)]

    def state(self, chosen: Sequence[Option]) -> State:
        end, *contents = chosen
        names = dict(self.durable_names)
        for op, number in self.changes[: end.value]:
            _apply(names, op, number)
        files = {path: contents[number].value for path, number in names.items()}
        lost = [end.lost, *(contents[number].lost for number in names.values())]
        return State(files, tuple(text for text in lost if text))


class _Posix(_Entries):
    """What the model ``posix`` allows."""

    def __init__(self, ops: Sequence[DiskOp], before: Mapping[str, bytes]) -> None:
        super().__init__(before)
        waits_for: list[set[str]] = []  # for each change, the directories that were not synced since
        for op in ops:
            if op.kind == "create":
                if op.path in self.names:
                    self.inode(op.path).truncate()
                else:
                    self.create(op)
            elif op.kind in ("rename", "unlink", "mkdir"):
                if op.kind == "rename" and op.path not in self.names:  # a directory takes what waits for it along
                    waits_for = [{_moved(path, op) for path in paths} for paths in waits_for]
                self.change(op)
            elif op.kind == "write":
                self.write(op)
            elif op.kind == "fsync":
                if op.path in self.names:
                    self.inode(op.path).sync()
                waits_for = [paths - {op.path} for paths in waits_for]
            waits_for += [_directories(change) for change, _ in self.changes[len(waits_for) :]]
        self.synced = {index for index, paths in enumerate(waits_for) if not paths}
        self.open = [index for index in range(len(self.changes)) if index not in self.synced]
        entries = [[Option(True), Option(False, str(self.changes[index][0]))] for index in self.open]
        self.dimensions = [*entries, *(inode.posix() for inode in self.inodes)]

    def state(self, chosen: Sequence[Option]) -> State:
        entries, contents = chosen[: len(self.open)], chosen[len(self.open) :]
        survived = self.synced | {index for index, one in zip(self.open, entries, strict=True) if one.value}
        missing = {self.changes[index][0].path for index in range(len(self.changes)) if index not in survived and self.changes[index][0].kind == "mkdir"}
        names = dict(self.durable_names)
        for index in sorted(survived):
            _apply(names, *self.changes[index])
        names = {path: number for path, number in names.items() if missing.isdisjoint(_parents(path))}
        files = {path: contents[number].value for path, number in names.items()}
        lost = [*(one.lost for one in entries), *(contents[number].lost for number in names.values())]
        return State(files, tuple(text for text in lost if text))


def _moved(path: str, op: DiskOp) -> str:
    """What a path is called after a directory was renamed."""
    return op.to + path[len(op.path) :] if path == op.path or path.startswith(f"{op.path}/") else path


def _directories(op: DiskOp) -> set[str]:
    """The directories whose entries a change changes; it is durable once each was synced."""
    return {path.rpartition("/")[0] or "." for path in (op.path, op.to) if path}
