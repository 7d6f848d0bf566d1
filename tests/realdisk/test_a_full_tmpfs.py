"""A disk that is really full does what ``nospace`` does."""

from __future__ import annotations

from pathlib import Path

import pytest
from apart import ask
from full_disks import Pair

from ckpt_harness.campaigns.recording import Scene

NEEDS = "tmpfs"

SCENES = [Scene("filesystem", workload, ranks) for workload in ("mixed", "large") for ranks in (1, 2, 3)]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: f"{scene.workload}-{scene.ranks}")
def test_a_full_tmpfs_is_as_simulated(scene: Scene, tmp_path: Path) -> None:
    """At every size up to one that suffices: the same ranks fail, with the same errors, and the same files are left, none of them a commit marker."""
    pairs: list[Pair] = ask("full_disks", scene, tmp_path)
    for pages, plan, real, simulated in pairs:
        assert real == simulated, (pages, plan)
    *full, enough = pairs
    assert set(enough.real.outcomes) == {"returned"}
    assert len(full) > 1
    assert scene.workload == "mixed" or any(
        "unexpected pos" in text for one in full for told in one.real.failures for _, _, text in told.values()
    )
    for one in full:
        assert set(one.real.outcomes) == {"raised"}
        assert not any(path.endswith("/.metadata") for path in one.real.sizes)
