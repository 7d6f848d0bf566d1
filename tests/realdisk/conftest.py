"""Makes the helper modules importable, and skips tests that cannot run here."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path += [str(Path(__file__).parent), str(Path(__file__).parent / "launched")]


@pytest.fixture(autouse=True)
def what_it_needs(request: pytest.FixtureRequest) -> None:
    """Skips a test if the thing that its module names as ``NEEDS`` is missing."""
    from needs import missing

    reason = missing(request.module.NEEDS)
    if reason:
        pytest.skip(f"{request.module.NEEDS}: {reason}")
