"""Fault injection for distributed checkpointing: does every rank find out, and is what is left on storage safe to use?

Names are imported on first use (PEP 562), so that ``import harness`` is cheap and needs neither torch nor hypothesis nor pytest.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

__version__ = "0.1.0"

_EXPORTS = {
    "Case": "harness.case",
    "Delay": "harness.effects",
    "DiskError": "harness.effects",
    "FailFuture": "harness.effects",
    "Fault": "harness.fault",
    "FaultPlan": "harness.plan",
    "FaultyEndpoint": "harness.endpoint",
    "FaultyFileSystem": "harness.filesystem",
    "FaultyLoadPlanner": "harness.planner",
    "FaultySavePlanner": "harness.planner",
    "FaultyStager": "harness.stateful",
    "FaultyStateful": "harness.stateful",
    "FaultyStorageReader": "harness.storage",
    "FaultyStorageWriter": "harness.storage",
    "Hang": "harness.effects",
    "HarnessError": "harness.errors",
    "InjectedFault": "harness.errors",
    "Kill": "harness.effects",
    "NeverComplete": "harness.effects",
    "NoSpace": "harness.effects",
    "OracleViolation": "harness.errors",
    "PlanError": "harness.errors",
    "Raise": "harness.effects",
    "Rig": "harness.rig",
    "SimulatedWorld": "harness.worlds.simulated",
    "Skip": "harness.effects",
    "StorageConformance": "harness.conformance.storage",
    "WrongResult": "harness.effects",
    "assert_propagated": "harness.assertions",
    "check_engine": "harness.conformance.check",
    "inject": "harness.interception",
    "reach": "harness.endpoint",
}

__all__ = sorted(_EXPORTS)  # noqa: PLE0605  (a list of str, which ruff cannot see through sorted)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    return getattr(importlib.import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})


if os.environ.get("CKPT_HARNESS_PLAN"):
    from harness.interception import install_from_environment

    install_from_environment()
