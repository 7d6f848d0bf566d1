"""Fixtures for the tests of the repaired engine."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from planting import OtherSourceError
from repairs import repaired

from ckpt_harness.cases.rig import Rig
from ckpt_harness.findings.register import Register


@pytest.fixture
def rig() -> Iterator[Rig]:
    """Runs cases on DCP with its protocol repaired, and with an empty findings register."""
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(repaired())
        except OtherSourceError as error:
            pytest.skip(f"this torch has another source: {error}")
        yield stack.enter_context(Rig(register=Register()))
