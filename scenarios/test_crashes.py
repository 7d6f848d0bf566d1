"""Claim: a crash at any point of a save into a fresh directory leaves no wrong checkpoint. Checked for every crash point under three durability models.

The models: *kill* (the processes die, the operating system survives), *ordered* and *posix* (power cuts; see ``ckpt_harness.disk.durability``).
"""

from __future__ import annotations

import pytest

from ckpt_harness._torch import FLUSHES_BEFORE_FSYNC
from ckpt_harness.campaigns.crashes import crashes
from ckpt_harness.campaigns.recording import Scene
from ckpt_harness.findings.register import Register

pytestmark = pytest.mark.ckpt_runs_in("simulated")

MODELS = ("kill", "ordered", "posix")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_a_crash_into_a_fresh_directory_leaves_nothing_that_is_wrong(model, ranks):
    """A reader gets the new checkpoint, no checkpoint, or an error on every rank; never values that were not saved."""
    report = crashes(Scene(ranks=ranks), model)
    assert set(report.shown) <= {"new", "nothing", "error"}
    assert report.exhaustive


@pytest.mark.parametrize("ranks", [2, 4])
def test_a_killed_job_loses_only_what_was_not_reported(ranks):
    """The operating system survives: no crash point leaves an error, and after the last file operation the new checkpoint loads."""
    report = crashes(Scene(ranks=ranks), "kill")
    assert set(report.shown) == {"new", "nothing"}
    assert set(report.points[-1].shown) == {"new"}


@pytest.mark.parametrize("model", ["ordered", "posix"])
def test_what_sync_files_really_guarantees(model):
    """When a save with ``sync_files=True`` reports success, the name of the metadata is not durable; before torch 2.14, neither are its bytes (DCP-034)."""
    report = crashes(Scene(engine="filesystem-synced"), model)
    assert "nothing" in report.points[-1].shown
    left_empty = {example.shown for example in report.examples if any(".metadata: 0 bytes" in text for text in example.left)}
    assert left_empty == (set() if FLUSHES_BEFORE_FSYNC else {"error"})


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("ranks", [2, 3])
def test_a_crash_during_an_overwrite_may_leave_a_mixture_or_nothing(model, ranks):
    """The search over all crash points finds both results, each with the shortest sequence of file operations; both are known findings."""
    report = crashes(Scene(ranks=ranks, overwrite=True), model)
    assert {"mixture", "nothing"} <= set(report.shown)
    known = report.known(Register.shipped())
    assert (known["mixture"], known["nothing"]) == ("DCP-032", "DCP-033")
    shortest = {example.shown: example for example in report.examples}
    assert [str(op) for op in shortest["nothing"].ops] == ["rank 0: unlink checkpoint/.metadata"]
    assert {op.kind for op in shortest["mixture"].ops} <= {"create", "write", "fsync"}


@pytest.mark.parametrize("model", MODELS)
def test_after_a_power_cut_the_newest_checkpoint_with_a_marker_may_not_load(model):
    """With a new directory for each save, older checkpoints are safe, but the newest directory with a commit marker may not load after a power cut."""
    report = crashes(Scene(ranks=2), model)
    safe = {"kill", "ordered"} if FLUSHES_BEFORE_FSYNC else {"kill"}  # an ordered disk keeps what was synced before the name appears
    assert ("error" in report.shown) == (model not in safe)
