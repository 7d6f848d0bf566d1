"""The journal is true: it is what strace shows; and what SIGKILL leaves is what the model ``kill`` allows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from apart import ask
from killed_saves import Call, Death, Told

from ckpt_harness.campaigns.readers import shown
from ckpt_harness.campaigns.recording import Scene
from ckpt_harness.disk.durability import states_after
from ckpt_harness.disk.journal import DiskOp

NEEDS = "strace"
AS_CALLED = {"create": "openat"}
"""Names of operations -> of the calls that do them, where they differ."""

SCENES = [Scene(ranks=1, overwrite=True), Scene(ranks=2), Scene("filesystem", ranks=2)]


def name(scene: Scene) -> str:
    return f"{scene.engine}-{scene.ranks}-{'overwrite' if scene.overwrite else 'fresh'}"


def called(op: DiskOp) -> Call:
    return Call(AS_CALLED.get(op.kind, op.kind), op.path, len(op.data), op.to)


def acting(told: Told, rank: int) -> list[DiskOp]:
    """What a rank does to files; which rank makes the directory is chance."""
    return [op for op in told.recording.ops if op.rank == rank and op.kind not in ("flush", "close", "mkdir")]


@pytest.mark.usefixtures("silence")
@pytest.mark.parametrize("scene", SCENES, ids=name)
def test_kills_and_calls_are_as_in_the_journal(scene: Scene, tmp_path: Path) -> None:
    """In real processes with gloo: the calls of each rank, in order, with their sizes; and the files that are left by a kill on the way into each."""
    told: Told = ask("killed_saves", scene, tmp_path)
    made = [call for calls in told.calls for call in calls if call.name == "mkdir"]
    assert made == [called(op) for op in told.recording.ops if op.kind == "mkdir"]
    for rank, calls in enumerate(told.calls):
        assert [call for call in calls if call.name != "mkdir"] == [called(op) for op in acting(told, rank)]
    assert len(told.deaths) == sum(map(len, told.calls)) > 10
    assert [f"rank {one.rank} killed in {told.calls[one.rank][one.done]}" for one in told.deaths if not allowed(told, one)] == []
    for number, one in enumerate(told.deaths):
        root = tmp_path / f"copy-{number}"
        root.mkdir()
        assert one.shown == shown(scene, one.files, root)
        assert one.shown == "nothing" or scene.overwrite  # the last call is the rename, and no kill came after it


def allowed(told: Told, death: Death) -> bool:
    """Whether it is left when the rank had done so much, and its peer as much as it likes."""
    done = sum(call.name != "mkdir" for call in told.calls[death.rank][: death.done])
    others: Sequence[DiskOp] = [op for rank in range(len(told.calls)) if rank != death.rank for op in acting(told, rank)]
    mine = acting(told, death.rank)
    merged = ([*mine[:done], *others[:end]] for end in range(len(others) + 1))
    return any(death.files in (state.files for state in states_after(ops, told.recording.before, "kill").found) for ops in merged)
