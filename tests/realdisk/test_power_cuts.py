"""What survives a power cut on a real ext4 is among the states that the models enumerate."""

from __future__ import annotations

from pathlib import Path

import pytest
from apart import ask
from power_cuts import Cut, Told

from ckpt_harness.campaigns.readers import digest_of, shown
from ckpt_harness.campaigns.recording import Scene
from ckpt_harness.disk.durability import Model, states_after
from ckpt_harness.disk.journal import Files

NEEDS = "ext4"
LIMIT = 20_000
"""States to look at for each point; no point here has as many."""

SCENES = [Scene(engine, overwrite=overwrite) for engine in ("filesystem-synced", "filesystem") for overwrite in (False, True)]


def name(scene: Scene) -> str:
    return f"{scene.engine}-{'overwrite' if scene.overwrite else 'fresh'}"


def outside(told: Told, model: Model) -> list[str]:
    """What survived and may not have."""
    states = {end: states_after(told.ops[:end], told.before, model, limit=LIMIT) for end in {one.cut.after for one in told.survivors}}
    assert all(one.exhaustive for one in states.values())
    allowed = {end: {digest_of(state.files) for state in one.found} for end, one in states.items()}
    return [f"{one.cut}: {sizes(one.files)}" for one in told.survivors if digest_of(one.files) not in allowed[one.cut.after]]


def sizes(files: Files) -> dict[str, int]:
    return {path.removeprefix("checkpoint/"): len(data) for path, data in files.items()}


@pytest.mark.usefixtures("silence")
@pytest.mark.parametrize("scene", SCENES, ids=name)
def test_what_survives_is_among_the_states(scene: Scene, tmp_path: Path) -> None:
    """At every operation of a save that changes something, whatever the system had written by then; and a reader gets what it gets of that state."""
    told: Told = ask("power_cuts", (scene, False), tmp_path)
    assert len(told.survivors) > 60
    assert outside(told, "ordered") == []
    assert outside(told, "posix") == []
    distinct = {digest_of(one.files): one.files for one in told.survivors}
    assert len(distinct) > 10
    simulated = {}
    for digest, files in distinct.items():
        root = tmp_path / digest
        root.mkdir()
        simulated[digest] = shown(scene, files, root)
    assert [one.cut for one in told.survivors if one.shown != simulated[digest_of(one.files)]] == []


@pytest.mark.usefixtures("silence")
def test_a_synced_save_that_returned_may_be_gone(tmp_path: Path) -> None:
    """DCP fsyncs ``.metadata.tmp`` before its bytes have left the process, and its directory never: no checkpoint is left, or an empty ``.metadata``."""
    told: Told = ask("power_cuts", (Scene("filesystem-synced"), True), tmp_path)
    data = {"__0_0.distcp": 3154, "__1_0.distcp": 5676}
    left = {one.cut: (sizes(one.files), one.shown) for one in told.survivors if not one.cut.aside}
    returned = len(told.ops)
    whole = sum(len(op.data) for op in told.ops if op.path.endswith(".metadata.tmp"))
    assert left == {
        Cut(returned, "nothing more"): ({**data, ".metadata.tmp": 0}, "nothing"),
        Cut(returned, "what was journalled"): ({**data, ".metadata": 0}, "error"),
        Cut(returned, "all"): ({**data, ".metadata": whole}, "new"),
    }


@pytest.mark.usefixtures("silence")
def test_a_synced_overwrite_that_returned_may_have_lost_both(tmp_path: Path) -> None:
    """The old data was replaced under the old ``.metadata``, which is then removed; what takes its place may be empty."""
    told: Told = ask("power_cuts", (Scene("filesystem-synced", overwrite=True), True), tmp_path)
    left = {one.cut.survives: (sizes(one.files)[".metadata"] > 0, one.shown) for one in told.survivors if not one.cut.aside}
    assert left == {"nothing more": (True, "new"), "what was journalled": (False, "error"), "all": (True, "new")}
