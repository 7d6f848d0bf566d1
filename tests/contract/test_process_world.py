"""Real processes pass the contract of all worlds."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path

import pytest

from ckpt_harness.worlds.contract import checks
from ckpt_harness.worlds.processes import ProcessWorld


@pytest.mark.parametrize("check", checks(), ids=lambda check: check.__name__.removeprefix("check_"))
def test_the_process_world_passes_the_contract(check: Callable[..., None], tmp_path: Path) -> None:
    """Each claim of the contract holds for real processes."""
    if "place" in inspect.signature(check).parameters:
        check(ProcessWorld, tmp_path)
    else:
        check(ProcessWorld)
