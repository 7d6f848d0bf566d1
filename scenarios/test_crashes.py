"""What a crash during a save leaves, at whatever point, under each durability model."""

from __future__ import annotations

import pytest

from ckpt_harness.campaigns.crashes import crashes
from ckpt_harness.campaigns.recording import Scene
from ckpt_harness.findings.register import Register

pytestmark = pytest.mark.ckpt_runs_in("simulated")

MODELS = ("kill", "ordered", "posix")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_a_crash_into_a_fresh_directory_leaves_nothing_that_is_wrong(model, ranks):
    """The new checkpoint, none, or an error on every rank: never values that were not saved."""
    found = crashes(Scene(ranks=ranks), model)
    assert set(found.shown) <= {"new", "nothing", "error"}
    assert found.exhaustive


@pytest.mark.parametrize("ranks", [2, 4])
def test_a_killed_job_loses_only_what_was_not_reported(ranks):
    """The operating system lives on: what the last operation left loads, and no crash point shows an error."""
    found = crashes(Scene(ranks=ranks), "kill")
    assert set(found.shown) == {"new", "nothing"}
    assert set(found.points[-1].shown) == {"new"}


@pytest.mark.parametrize("model", ["ordered", "posix"])
def test_what_fsync_as_dcp_calls_it_really_guarantees(model):
    """Data files are durable before the metadata is renamed; the metadata itself, and its name, are not when the save reports success."""
    found = crashes(Scene(engine="filesystem-synced"), model)
    assert {"nothing", "error"} <= set(found.points[-1].shown)
    (empty,) = [one for one in found.examples if one.shown == "error"]
    assert any(".metadata: 0 bytes" in text for text in empty.left)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("ranks", [2, 3])
def test_an_overwrite_may_end_in_a_mixture_or_in_the_loss_of_both(model, ranks):
    """Both are found without being told where to look, and known; each comes with its shortest way."""
    found = crashes(Scene(ranks=ranks, overwrite=True), model)
    assert {"mixture", "nothing"} <= set(found.shown)
    assert {kind: found.known(Register.shipped())[kind] for kind in ("mixture", "nothing")} == {"mixture": "DCP-032", "nothing": "DCP-033"}
    ways = {example.shown: example for example in found.examples}
    assert [str(op) for op in ways["nothing"].ops] == ["rank 0: unlink checkpoint/.metadata"]
    assert {op.kind for op in ways["mixture"].ops} <= {"create", "write", "fsync"}


@pytest.mark.parametrize("model", MODELS)
def test_the_newest_checkpoint_with_a_marker_may_be_one_that_does_not_load(model):
    """With a new directory for each save the old one is safe; who takes the newest that has a marker meets an error where power was cut."""
    found = crashes(Scene(ranks=2), model)
    marked = {"error"} & set(found.shown)
    assert marked == (set() if model == "kill" else {"error"})
