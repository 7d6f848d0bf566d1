"""The durability models hold for sequences of disk operations that no engine runs today."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest
from apart import ask
from disk_programs import Step
from real_disks import POWER_CUTS

from ckpt_harness.disk.durability import MODELS, states_after
from ckpt_harness.disk.journal import DiskOp, Files, files_after

NEEDS = "ext4"
LIMIT = 50_000


def create(path: str) -> DiskOp:
    return DiskOp(0, "create", path)


def write(path: str, offset: int, data: bytes) -> DiskOp:
    return DiskOp(0, "write", path, offset, data)


def fsync(path: str) -> DiskOp:
    return DiskOp(0, "fsync", path)


def rename(path: str, to: str) -> DiskOp:
    return DiskOp(0, "rename", path, to=to)


class Program(NamedTuple):
    """Disk operations before a power cut, and the files that survive the cut.

    Attributes:
        before: steps that are durable.
        steps: steps after them.
        left: the files, if no more survives than has to.
        journalled: the files, if all changes of directories and lengths survive, and no more data.
    """

    before: list[Step]
    steps: list[Step]
    left: Files
    journalled: Files


A = [create("a"), write("a", 0, b"A" * 5000)]

PROGRAMS = {
    "fsync of what has not changed makes nothing durable": Program(
        A, [create("b"), fsync("a")], {"a": b"A" * 5000}, {"a": b"A" * 5000, "b": b""}
    ),
    "fsync makes durable what was changed before its file was": Program(
        A, [create("b"), create("c"), fsync("c")], *([{"a": b"A" * 5000, "b": b"", "c": b""}] * 2)
    ),
    "fsync of a renamed file makes its new name durable": Program(A, [rename("a", "b"), fsync("b")], *([{"b": b"A" * 5000}] * 2)),
    "fsync of a directory makes its entries durable, and not their bytes": Program([], [*A, fsync(".")], *([{"a": b""}] * 2)),
    "a block that is overwritten may be as it was": Program(A, [write("a", 0, b"B" * 10)], *([{"a": b"A" * 5000}] * 2)),
    "what is appended to a block may read as zeros": Program(
        A, [write("a", 5000, b"B" * 100)], {"a": b"A" * 5000}, {"a": b"A" * 5000 + b"\0" * 100}
    ),
    "a file may be as long as after an earlier write": Program(
        [],
        [create("a"), write("a", 0, b"A" * 1261), "sync", write("a", 1261, b"B" * 9000)],
        {"a": b"A" * 1261},
        {"a": b"A" * 1261 + b"\0" * (4096 - 1261)},
    ),
    "a file may be replaced by an empty one": Program(
        A, [create("b"), write("b", 0, b"B" * 10), DiskOp(0, "unlink", "a"), rename("b", "a")], {"a": b"A" * 5000}, {"a": b""}
    ),
}


def outside(program: Sequence[list[Step]], left: Files) -> list[str]:
    before, steps = ([step for step in part if isinstance(step, DiskOp)] for part in program)
    found = []
    for model in MODELS[1:]:
        states = states_after(steps, files_after(before), model, limit=LIMIT)
        if states.exhaustive and left not in [state.files for state in states.found]:
            found.append(f"{model}: {[str(step) for step in program[0]]} then {[str(step) for step in program[1]]} left {summary(left)}")
    return found


def summary(files: Files) -> dict[str, str]:
    return {path: f"{len(data)} bytes of {bytes(sorted(set(data)))!r}" for path, data in files.items()}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_what_ext4_does(program: Program, tmp_path: Path) -> None:
    """The behaviour of ext4 that the models are built on is unchanged."""
    parts = program.before, program.steps
    least, journalled = ask("disk_programs", [(*parts, "nothing more"), (*parts, "what was journalled")], tmp_path)
    assert (summary(least), summary(journalled)) == (summary(program.left), summary(program.journalled))
    assert outside(parts, least) == []
    assert outside(parts, journalled) == []


@pytest.mark.parametrize("seed", range(4))
def test_random_programs_leave_what_the_models_allow(seed: int, tmp_path: Path) -> None:
    """Random sequences of file operations and syncs, with writes by the system in between, leave only files that the models allow."""
    rng = random.Random(seed)
    programs = [_program(rng) for _ in range(40)]
    tries = [(*program, survives) for program in programs for survives in POWER_CUTS]
    left = ask("disk_programs", tries, tmp_path)
    assert [text for (before, steps, _), files in zip(tries, left, strict=True) for text in outside((before, steps), files)] == []


def _program(rng: random.Random) -> tuple[list[Step], list[Step]]:
    before: list[Step] = [DiskOp(0, "mkdir", "d")]
    for path in ("a", "d/a"):
        before += [create(path), write(path, 0, b"A" * rng.choice((100, 4096, 5000)))]
    sizes = {"a": 0, "d/a": 0}
    for step in before:
        if isinstance(step, DiskOp) and step.kind == "write":
            sizes[step.path] = len(step.data)
    return before, [_step(rng, sizes, letter) for letter in b"BCDEFGH"[: rng.randrange(3, 8)]]


def _step(rng: random.Random, sizes: dict[str, int], letter: int) -> Step:
    path = rng.choice(("a", "b", "d/a", "d/b"))
    if path not in sizes:
        sizes[path] = 0
        return create(path)

    def written() -> Step:
        offset, size = rng.choice((sizes[path], 0, sizes[path] // 2)), rng.choice((10, 1261, 5000))
        sizes[path] = max(sizes[path], offset + size)
        return write(path, offset, bytes([letter]) * size)

    def renamed() -> Step:
        to = rng.choice([name for name in ("a", "b", "d/a", "d/b") if name != path])
        sizes[to] = sizes.pop(path)
        return rename(path, to)

    def removed() -> Step:
        del sizes[path]
        return DiskOp(0, "unlink", path)

    def emptied() -> Step:
        sizes[path] = 0
        return create(path)

    acts: list[Callable[[], Step]] = [written, written, written, renamed, removed, emptied]
    plain: list[Step] = [fsync(path), fsync(rng.choice((".", "d"))), "sync", "write back"]
    return rng.choice([*acts, *(lambda step=step: step for step in plain)])()
