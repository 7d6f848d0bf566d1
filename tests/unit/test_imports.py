"""What importing costs: the harness is cheap until its names are used."""

from __future__ import annotations

import ast
import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ckpt_harness

HEAVY = ("torch", "numpy", "pytest", "_pytest", "hypothesis", "rich", "fsspec")
LIGHT = (
    *("errors", "history", "runtime", "faults.error_specs", "faults.sites", "faults.effects", "faults.fault", "faults.plan", "faults.protocol"),
    "campaigns.pools.dask_worker",  # the workers of Dask only pass work on
    *("judging.trace", "judging.expectation", "judging.model", "judging.evidence", "judging.verdict", "judging.oracles"),
)


def _run(*arguments: str) -> subprocess.CompletedProcess[str]:
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("CKPT_HARNESS", "COV_"))}
    return subprocess.run([sys.executable, *arguments], env=plain, capture_output=True, text=True, timeout=250, check=False)


def _heavy_after(code: str) -> list[str]:
    ran = _run("-c", f"{code}\nimport sys; print(*(name for name in {HEAVY!r} if name in sys.modules))")
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.split()


def test_importing_the_package_imports_nothing_heavy() -> None:
    """``import ckpt_harness`` needs neither torch nor a test framework."""
    assert _heavy_after("import ckpt_harness; dir(ckpt_harness); ckpt_harness.__version__") == []


def test_the_lower_layers_need_no_torch() -> None:
    """Plans are checked, and histories judged, without torch."""
    assert _heavy_after("\n".join(f"import ckpt_harness.{name}" for name in LIGHT)) == []


def test_a_plan_error_needs_no_torch() -> None:
    """A refusal answers at once."""
    assert _heavy_after("import ckpt_harness\ntry: ckpt_harness.FaultPlan.parse('nonsense')\nexcept ckpt_harness.PlanError: pass") == []


def test_the_strategies_need_no_torch() -> None:
    """A test session that sets a profile, or draws plans, does not pay for jobs."""
    assert "torch" not in _heavy_after("from ckpt_harness.strategies import ckpt_jobs, fault_plans; fault_plans(ranks=2)")


@pytest.mark.parametrize("command", ["--help", "sweep --help", "sites", "effects", "replay nonsense"])
def test_the_command_line_answers_without_torch(command: str) -> None:
    """Help, tables and usage errors import no torch."""
    ran = _run("-X", "importtime", "-m", "ckpt_harness", *command.split())
    assert ran.returncode == (2 if "nonsense" in command else 0), ran.stderr[-2000:]
    imported = {line.rpartition("|")[2].strip() for line in ran.stderr.splitlines() if line.startswith("import time:")}
    assert "ckpt_harness.cli" in imported
    assert not imported & {"torch", "pytest", "hypothesis"}


@pytest.mark.parametrize("name", ckpt_harness.__all__)
def test_an_exported_name_can_be_imported(name: str) -> None:
    """Everything that the package promises is there, under its own name."""
    assert getattr(ckpt_harness, name) is getattr(importlib.import_module(ckpt_harness._EXPORTS[name]), name)
    assert name in dir(ckpt_harness)


def test_type_checkers_see_the_names_that_can_be_imported() -> None:
    """The imports under ``TYPE_CHECKING`` name what the table of lazy imports names, from the same modules."""
    tree = ast.parse(Path(ckpt_harness.__file__).read_text("utf-8"))
    (block,) = (node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING")
    imports = [(alias.asname, node.module) for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(imports) == sorted(ckpt_harness._EXPORTS.items())


def test_an_unknown_name_is_an_attribute_error() -> None:
    """The package does not invent names."""
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = ckpt_harness.Nonsense
