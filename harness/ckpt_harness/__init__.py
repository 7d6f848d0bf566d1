"""Fault injection for distributed checkpointing: does every rank find out, and is what is left on storage safe to use?

A name is imported when it is first used (PEP 562), so that ``import ckpt_harness`` is cheap and needs neither torch nor hypothesis nor pytest.
Type checkers read the imports under ``TYPE_CHECKING`` instead; ``tests/unit/test_imports.py`` holds that both lists agree.
"""

from __future__ import annotations

import importlib
import os
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from ckpt_harness.cases.case import Case as Case
    from ckpt_harness.cases.rig import Rig as Rig
    from ckpt_harness.conformance.check import check_engine as check_engine
    from ckpt_harness.conformance.storage import StorageConformance as StorageConformance
    from ckpt_harness.errors import HarnessError as HarnessError
    from ckpt_harness.errors import InjectedFault as InjectedFault
    from ckpt_harness.errors import OracleViolation as OracleViolation
    from ckpt_harness.errors import PlanError as PlanError
    from ckpt_harness.faults.effects import Delay as Delay
    from ckpt_harness.faults.effects import DiskError as DiskError
    from ckpt_harness.faults.effects import FailFuture as FailFuture
    from ckpt_harness.faults.effects import Hang as Hang
    from ckpt_harness.faults.effects import Kill as Kill
    from ckpt_harness.faults.effects import NeverComplete as NeverComplete
    from ckpt_harness.faults.effects import NoSpace as NoSpace
    from ckpt_harness.faults.effects import Raise as Raise
    from ckpt_harness.faults.effects import Skip as Skip
    from ckpt_harness.faults.effects import WrongResult as WrongResult
    from ckpt_harness.faults.fault import Fault as Fault
    from ckpt_harness.faults.plan import FaultPlan as FaultPlan
    from ckpt_harness.injection.filesystem import FaultyFileSystem as FaultyFileSystem
    from ckpt_harness.injection.object_store import FaultyEndpoint as FaultyEndpoint
    from ckpt_harness.injection.object_store import reach as reach
    from ckpt_harness.injection.patching import inject as inject
    from ckpt_harness.injection.planner import FaultyLoadPlanner as FaultyLoadPlanner
    from ckpt_harness.injection.planner import FaultySavePlanner as FaultySavePlanner
    from ckpt_harness.injection.stateful import FaultyStager as FaultyStager
    from ckpt_harness.injection.stateful import FaultyStateful as FaultyStateful
    from ckpt_harness.injection.storage import FaultyStorageReader as FaultyStorageReader
    from ckpt_harness.injection.storage import FaultyStorageWriter as FaultyStorageWriter
    from ckpt_harness.judging.assertions import assert_propagated as assert_propagated
    from ckpt_harness.worlds.simulated import SimulatedWorld as SimulatedWorld

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
"""Public name -> the module that defines the name."""

__all__ = sorted(_EXPORTS)  # noqa: PLE0605  (a list of str, which ruff cannot see through sorted)


if not TYPE_CHECKING:  # a type checker that sees this function takes every misspelled name for Any

    def __getattr__(name: str) -> Any:
        if name not in _EXPORTS:
            raise AttributeError(f"module 'ckpt_harness' has no attribute {name!r}")
        return getattr(importlib.import_module(_EXPORTS[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_EXPORTS})


if os.environ.get("CKPT_HARNESS_PLAN"):
    from ckpt_harness.injection.environment import install_from_environment

    install_from_environment()
