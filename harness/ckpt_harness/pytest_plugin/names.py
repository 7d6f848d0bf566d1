"""Names that tests and configurations use: marks, fixtures, worlds. The file imports nothing, so that sessions without such tests pay nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ckpt_harness.cases.case import WorldName

RANKS = "ckpt_ranks"
RUNS_IN = "ckpt_runs_in"
NEEDS = "ckpt_needs"
"""The three marks."""

RIGS = frozenset({"ckpt_rig", "ckpt_job_rig"})
"""Fixtures that run cases and jobs, and so can run them on another engine."""
FIXTURES = frozenset({"ckpt_world", "ckpt_worlds"}) | RIGS

WORLDS: tuple[WorldName, ...] = ("simulated", "processes", "attached")
"""The worlds; a test without the mark ``ckpt_runs_in`` runs in the first."""

ATTACH = "ckpt_attach"
"""Option of pytest's configuration: a session under a launcher attaches to it. Off by default, since tests may be written to run on every rank."""

PROFILE_VARIABLE = "CKPT_HARNESS_PROFILE"
"""Environment variable that names a hypothesis profile."""
