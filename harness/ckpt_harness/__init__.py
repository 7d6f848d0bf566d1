"""Fault injection for distributed checkpointing: does every rank find out, and is what is left on storage safe to use?

Names are imported on first use (PEP 562), so that ``import ckpt_harness`` is cheap and needs neither torch nor hypothesis nor pytest.
"""

from __future__ import annotations

import importlib
import os
from typing import Any

__version__ = "0.1.0"

_EXPORTS = {
    "Case": "ckpt_harness.cases.case",
    "Delay": "ckpt_harness.faults.effects",
    "DiskError": "ckpt_harness.faults.effects",
    "FailFuture": "ckpt_harness.faults.effects",
    "Fault": "ckpt_harness.faults.fault",
    "FaultPlan": "ckpt_harness.faults.plan",
    "FaultyEndpoint": "ckpt_harness.injection.object_store",
    "FaultyFileSystem": "ckpt_harness.injection.filesystem",
    "FaultyLoadPlanner": "ckpt_harness.injection.planner",
    "FaultySavePlanner": "ckpt_harness.injection.planner",
    "FaultyStager": "ckpt_harness.injection.stateful",
    "FaultyStateful": "ckpt_harness.injection.stateful",
    "FaultyStorageReader": "ckpt_harness.injection.storage",
    "FaultyStorageWriter": "ckpt_harness.injection.storage",
    "Hang": "ckpt_harness.faults.effects",
    "HarnessError": "ckpt_harness.errors",
    "InjectedFault": "ckpt_harness.errors",
    "Kill": "ckpt_harness.faults.effects",
    "NeverComplete": "ckpt_harness.faults.effects",
    "NoSpace": "ckpt_harness.faults.effects",
    "OracleViolation": "ckpt_harness.errors",
    "PlanError": "ckpt_harness.errors",
    "Raise": "ckpt_harness.faults.effects",
    "Rig": "ckpt_harness.cases.rig",
    "SimulatedWorld": "ckpt_harness.worlds.simulated",
    "Skip": "ckpt_harness.faults.effects",
    "StorageConformance": "ckpt_harness.conformance.storage",
    "WrongResult": "ckpt_harness.faults.effects",
    "assert_propagated": "ckpt_harness.judging.assertions",
    "check_engine": "ckpt_harness.conformance.check",
    "inject": "ckpt_harness.injection.patching",
    "reach": "ckpt_harness.injection.object_store",
}

__all__ = sorted(_EXPORTS)  # noqa: PLE0605  (a list of str, which ruff cannot see through sorted)


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'ckpt_harness' has no attribute {name!r}")
    return getattr(importlib.import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})


if os.environ.get("CKPT_HARNESS_PLAN"):
    from ckpt_harness.injection.patching import install_from_environment

    install_from_environment()
