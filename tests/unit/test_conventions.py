"""Rules for tests and scenarios (tests/README.md) that can be checked automatically."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(path for folder in ("tests", "scenarios") for path in (ROOT / folder).rglob("test_*.py"))


def _tests(path: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node


@pytest.mark.parametrize("path", FILES, ids=[str(path.relative_to(ROOT)) for path in FILES])
def test_every_test_states_what_it_claims(path: Path) -> None:
    """Every test has a docstring that ends with a full stop."""
    silent = [f"line {test.lineno}: {test.name}" for test in _tests(path) if not (ast.get_docstring(test) or "").split("\n")[0].endswith(".")]
    assert silent == []


@pytest.mark.parametrize("path", sorted((ROOT / "scenarios").glob("test_*.py")), ids=lambda path: path.name)
def test_every_scenario_states_the_worlds_it_can_run_in(path: Path) -> None:
    """``ckpt_runs_in`` marks the file or each of its tests."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    whole = any(ast.unparse(node).startswith("pytestmark = ") and "pytest.mark.ckpt_runs_in(" in ast.unparse(node) for node in tree.body)
    silent = [test.name for test in _tests(path) if not any("ckpt_runs_in" in ast.unparse(decorator) for decorator in test.decorator_list)]
    assert whole or silent == []
