"""Simulated ranks pass the contract of all worlds."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest

from ckpt_harness.worlds.contract import checks
from ckpt_harness.worlds.simulated import SimulatedWorld


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("check", checks(), ids=lambda check: check.__name__.removeprefix("check_"))
def test_the_simulated_world_passes_the_contract(check: Callable[..., None], seed: int, tmp_path: Path) -> None:
    """Each claim of the contract holds for several orders of the ranks."""

    def make_world(size: int) -> SimulatedWorld:
        return SimulatedWorld(size, seed=seed)

    if "place" in inspect.signature(check).parameters:
        check(make_world, tmp_path)
    else:
        check(make_world)
