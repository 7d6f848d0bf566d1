"""The shortest way to what a reader may get after a crash: the few operations that matter, and what they leave."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ckpt_harness.campaigns.readers import Readers
from ckpt_harness.campaigns.recording import Recording
from ckpt_harness.disk.entries import State
from ckpt_harness.disk.journal import DiskOp, Files, files_after
from ckpt_harness.disk.shown import Shown

STILL = ("flush", "close")
"""Operations that leave the disk as it is."""


@dataclass(frozen=True)
class Example:
    """The shortest way to what a reader may get.

    Attributes:
        shown: what the reader gets.
        number: after how many operations the crash comes.
        ops: the operations that matter, in order.
        left: what is stored then, file by file, in words.
        printed: what the engine printed while it loaded that, if a command has caught it.
    """

    shown: Shown
    number: int
    ops: tuple[DiskOp, ...]
    left: tuple[str, ...]
    printed: str = ""


def shortest(recording: Recording, readers: Readers, shown: Shown, end: int, state: State) -> Example:
    """Takes back the changes to each file without which a reader gets the same.

    Args:
        recording: the save.
        readers: loads states.
        shown: what a reader gets of ``state``.
        end: after how many operations the crash comes.
        state: what the crash left.
    """
    ops, before = recording.ops[:end], recording.before
    files, matters = dict(state.files), {*state.files, *before}
    for path in sorted(matters):
        restored = _without_changes(files, path, before)
        if shown == "death" and restored != files:
            continue  # such a load would end this process
        if restored == files or readers.load(restored) == shown:
            files = restored
            matters.discard(path)
    named = matters | {op.path for op in ops if op.kind == "rename" and op.to in matters}
    now = files_after(ops, before)
    return Example(
        shown=shown,
        number=end,
        ops=tuple(op for op in _merged(ops) if op.path in named or op.to in named),
        left=tuple(_left(path, files, now, before) for path in sorted({*files, *before})),
        printed="" if shown == "death" else readers.printed(files),
    )


def _without_changes(files: Files, path: str, before: Mapping[str, bytes]) -> Files:
    restored = dict(files)
    restored.pop(path, None)
    if path in before:
        restored[path] = before[path]
    return restored


def _left(path: str, files: Files, now: Files, before: Mapping[str, bytes]) -> str:
    if path not in files:
        return f"{path}: gone"
    data = files[path]
    if data == before.get(path):
        age = "as before"
    elif data == now.get(path):
        age = "as written"
    else:
        age = f"of {len(now.get(path, b''))} as written"
    return f"{path}: {len(data)} bytes, {age}"


def _merged(ops: Sequence[DiskOp]) -> list[DiskOp]:
    """The operations that change the disk; successive writes to a file that join each other are one."""
    kept: list[DiskOp] = []
    latest: dict[str, int] = {}
    for op in ops:
        if op.kind in STILL:
            continue
        last = kept[latest[op.path]] if op.path in latest else None
        if op.kind == "write" and last is not None and last.kind == "write" and last.offset + len(last.data) == op.offset:
            kept[latest[op.path]] = last._replace(data=last.data + op.data)
        else:
            latest[op.path] = len(kept)
            kept.append(op)
    return kept
