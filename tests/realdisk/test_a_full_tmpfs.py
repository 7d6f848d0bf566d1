"""The effect ``nospace`` behaves as a disk that is really full."""

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
    """For every size of the tmpfs up to the first that suffices: the same ranks fail with the same errors, and the same files are left, without a marker."""
    pairs: list[Pair] = ask("full_disks", scene, tmp_path)
    for pages, plan, real, simulated in pairs:
        assert real == simulated, (pages, plan)
    *full, enough = pairs
    assert set(enough.real.outcomes) == {"returned"}
    assert len(full) > 1
    assert scene.workload == "mixed" or any(
        "unexpected pos" in text for pair in full for failures in pair.real.failures for _, _, text in failures.values()
    )
    for pair in full:
        assert set(pair.real.outcomes) == {"raised"}
        assert not any(path.endswith("/.metadata") for path in pair.real.sizes)
