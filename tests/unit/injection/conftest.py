"""Fixtures of the tests of injection."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from injector_doubles import World

from ckpt_harness import runtime


@pytest.fixture
def world() -> Iterator[World]:
    """A runtime for the test, installed."""
    made = World()
    with runtime.installed(made):
        yield made


@pytest.fixture(autouse=True)
def executors_have_ended() -> Iterator[None]:
    """Waits for the thread of an async save, which ends shortly after its future."""
    yield
    for thread in threading.enumerate():
        if thread.name.startswith("AsyncCheckpointExecutor"):
            thread.join(timeout=60)
