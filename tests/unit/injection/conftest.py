"""What the wrapper tests leave behind is waited for."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True)
def executors_have_ended() -> Iterator[None]:
    """The thread that DCP starts for an async save outlives its future for an instant."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("AsyncCheckpointExecutor"):
            thread.join(timeout=60)
