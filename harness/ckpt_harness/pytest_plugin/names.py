"""Names that tests and configurations use: marks, fixtures, worlds. They import nothing, so that a session that uses none of them pays nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ckpt_harness.cases.case import WorldName

MARK = "ckpt_runs_in"
WORLDS: tuple[WorldName, ...] = ("simulated", "processes", "attached")
"""The names, where nothing else of the harness may be imported; the first is where a test without a mark runs."""
NEEDS = "ckpt_needs"
ATTACH = "ckpt_attach"
"""The line of the configuration by which a session under a launcher is attached to it. Not by itself: tests may be meant to run on every rank."""
FIXTURES = frozenset({"ckpt_world", "ckpt_worlds", "ckpt_rig"})
