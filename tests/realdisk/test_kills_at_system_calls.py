"""The journal records the system calls that strace shows, and SIGKILL leaves only files that the model ``kill`` allows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest
from apart import ask
from killed_saves import Call, Death, Observed

from ckpt_harness.campaigns.readers import shown
from ckpt_harness.campaigns.recording import Scene
from ckpt_harness.disk.durability import states_after
from ckpt_harness.disk.journal import DiskOp

NEEDS = "strace"
AS_CALLED = {"create": "openat"}
"""Name of an operation -> name of its system call, where they differ."""

SCENES = [Scene(ranks=1, overwrite=True), Scene(ranks=2), Scene("filesystem", ranks=2)]


def name(scene: Scene) -> str:
    return f"{scene.engine}-{scene.ranks}-{'overwrite' if scene.overwrite else 'fresh'}"


def called(op: DiskOp) -> Call:
    return Call(AS_CALLED.get(op.kind, op.kind), op.path, len(op.data), op.to)


def acting(observed: Observed, rank: int) -> list[DiskOp]:
    """The file operations of a rank, without ``mkdir``: which rank makes the directory is chance."""
    return [op for op in observed.recording.ops if op.rank == rank and op.kind not in ("flush", "close", "mkdir")]


@pytest.mark.usefixtures("silence")
@pytest.mark.parametrize("scene", SCENES, ids=name)
def test_kills_and_calls_are_as_in_the_journal(scene: Scene, tmp_path: Path) -> None:
    """In real processes with gloo, the calls of each rank agree in order and size, and so do the files that a kill at each call leaves."""
    observed: Observed = ask("killed_saves", scene, tmp_path)
    made = [call for calls in observed.calls for call in calls if call.name == "mkdir"]
    assert made == [called(op) for op in observed.recording.ops if op.kind == "mkdir"]
    for rank, calls in enumerate(observed.calls):
        assert [call for call in calls if call.name != "mkdir"] == [called(op) for op in acting(observed, rank)]
    assert len(observed.deaths) == sum(map(len, observed.calls)) > 10
    assert [f"rank {death.rank} killed in {observed.calls[death.rank][death.done]}" for death in observed.deaths if not allowed(observed, death)] == []
    for number, death in enumerate(observed.deaths):
        root = tmp_path / f"copy-{number}"
        root.mkdir()
        assert death.shown == shown(scene, death.files, root)
        assert death.shown == "nothing" or scene.overwrite  # the last call is the rename, and no kill came after it


def allowed(observed: Observed, death: Death) -> bool:
    """Whether the model allows the files after the rank's completed calls and any number of its peer's calls."""
    done = sum(call.name != "mkdir" for call in observed.calls[death.rank][: death.done])
    others: Sequence[DiskOp] = [op for rank in range(len(observed.calls)) if rank != death.rank for op in acting(observed, rank)]
    mine = acting(observed, death.rank)
    merged = ([*mine[:done], *others[:end]] for end in range(len(others) + 1))
    return any(death.files in (state.files for state in states_after(ops, observed.recording.before, "kill").found) for ops in merged)
