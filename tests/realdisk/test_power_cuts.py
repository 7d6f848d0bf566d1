"""The files that survive a power cut on a real ext4 are among the states that the durability models allow."""

from __future__ import annotations

from pathlib import Path

import pytest
from apart import ask
from power_cuts import Cut, Observed

from ckpt_harness.campaigns.readers import digest_of, shown
from ckpt_harness.campaigns.recording import Scene
from ckpt_harness.disk.durability import Model, states_after
from ckpt_harness.disk.journal import Files

NEEDS = "ext4"
LIMIT = 20_000
"""Limit on the states for each crash point; no crash point here reaches the limit."""

SCENES = [Scene(engine, overwrite=overwrite) for engine in ("filesystem-synced", "filesystem") for overwrite in (False, True)]


def name(scene: Scene) -> str:
    return f"{scene.engine}-{'overwrite' if scene.overwrite else 'fresh'}"


def outside(observed: Observed, model: Model) -> list[str]:
    """The survivors that the model does not allow."""
    states = {end: states_after(observed.ops[:end], observed.before, model, limit=LIMIT) for end in {survivors.cut.after for survivors in observed.survivors}}
    assert all(of_point.exhaustive for of_point in states.values())
    allowed = {end: {digest_of(state.files) for state in of_point.found} for end, of_point in states.items()}
    return [f"{survivors.cut}: {sizes(survivors.files)}" for survivors in observed.survivors if digest_of(survivors.files) not in allowed[survivors.cut.after]]


def sizes(files: Files) -> dict[str, int]:
    return {path.removeprefix("checkpoint/"): len(data) for path, data in files.items()}


@pytest.mark.usefixtures("silence")
@pytest.mark.parametrize("scene", SCENES, ids=name)
def test_what_survives_is_among_the_states(scene: Scene, tmp_path: Path) -> None:
    """After a cut at any operation that changes a file, the files are a state of the models, and a reader gets the result that the model names."""
    observed: Observed = ask("power_cuts", (scene, False), tmp_path)
    assert len(observed.survivors) > 60
    assert outside(observed, "ordered") == []
    assert outside(observed, "posix") == []
    distinct = {digest_of(survivors.files): survivors.files for survivors in observed.survivors}
    assert len(distinct) > 10
    simulated = {}
    for digest, files in distinct.items():
        root = tmp_path / digest
        root.mkdir()
        simulated[digest] = shown(scene, files, root)
    assert [survivors.cut for survivors in observed.survivors if survivors.shown != simulated[digest_of(survivors.files)]] == []


@pytest.mark.usefixtures("silence")
def test_a_synced_save_that_returned_may_be_gone(tmp_path: Path) -> None:
    """DCP syncs ``.metadata.tmp`` before its bytes have left the process, and never the directory: no checkpoint or an empty ``.metadata`` is left."""
    observed: Observed = ask("power_cuts", (Scene("filesystem-synced"), True), tmp_path)
    data = {"__0_0.distcp": 3154, "__1_0.distcp": 5676}
    left = {survivors.cut: (sizes(survivors.files), survivors.shown) for survivors in observed.survivors if not survivors.cut.aside}
    returned = len(observed.ops)
    whole = sum(len(op.data) for op in observed.ops if op.path.endswith(".metadata.tmp"))
    assert left == {
        Cut(returned, "nothing more"): ({**data, ".metadata.tmp": 0}, "nothing"),
        Cut(returned, "what was journalled"): ({**data, ".metadata": 0}, "error"),
        Cut(returned, "all"): ({**data, ".metadata": whole}, "new"),
    }


@pytest.mark.usefixtures("silence")
def test_a_synced_overwrite_that_returned_may_have_lost_both(tmp_path: Path) -> None:
    """The data files are overwritten, the old ``.metadata`` is removed, and the new ``.metadata`` may be empty."""
    observed: Observed = ask("power_cuts", (Scene("filesystem-synced", overwrite=True), True), tmp_path)
    left = {survivors.cut.survives: (sizes(survivors.files)[".metadata"] > 0, survivors.shown) for survivors in observed.survivors if not survivors.cut.aside}
    assert left == {"nothing more": (True, "new"), "what was journalled": (False, "error"), "all": (True, "new")}
