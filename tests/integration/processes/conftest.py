from __future__ import annotations

from collections.abc import Iterator

import pytest

from ckpt_harness.worlds.processes import Crews, shared


@pytest.fixture(scope="session")
def crews() -> Iterator[Crews]:
    """Ranks that stay warm from test to test."""
    yield shared()
    shared().close()
