"""Errors as reports show them: a case reads the same on every machine, and whatever ran before it."""

from __future__ import annotations

from pathlib import Path

import pytest

from ckpt_harness.cases.workspace import Workspace
from ckpt_harness.history import ErrorRecord


@pytest.mark.parametrize(
    ("message", "shown"),
    [
        ("no /scratch/run/attempt-0-0/.metadata", "no <root>/attempt-0-0/.metadata"),
        ("no http://127.0.0.1:5000/ckpt-harness/48/attempt-0-0/.metadata", "no http://<store>/<root>/attempt-0-0/.metadata"),
        ("no memory://ckpt-harness-3/attempt-0-0", "no memory://<root>/attempt-0-0"),
        ("ckpt-harness 0.1.0, ckpt-harness-12", "ckpt-harness 0.1.0, ckpt-harness-12"),
    ],
)
def test_an_error_is_told_without_the_directory_of_its_case(message: str, shown: str) -> None:
    """Nor with what stands for the directory in a store, or with the port of a store."""
    scrubbed = Workspace(Path("/scratch/run")).scrub(ErrorRecord("OSError", (), message=message))
    assert scrubbed is not None
    assert scrubbed.message == shown
