"""The order of the modules and what must never be imported where, read from the sources."""

from __future__ import annotations

import ast
import functools
from collections.abc import Iterator
from pathlib import Path

import pytest

import harness

ROOT = Path(harness.__file__).parent

LEVELS: tuple[frozenset[str], ...] = tuple(
    frozenset(level.split())
    for level in (
        "errors _torch",
        "zoo sites history launch _counts tags verdict journal _syncing _s3 parallel workers",
        "runtime",
        "effects protocol",
        "fault trace ways",
        "_grammar",
        "plan",
        "expectation _inject",
        "_wrapping oracles durability worlds workload",
        "filesystem",
        "storage planner stateful executor assertions endpoint",
        "interception",
        "engines findings",
        "case",
        "joining placing reading",
        "background body record",
        "attempt",
        "rig",
        "campaign parity strategies",
        "crash",
        "damage",
        "fuzz report conformance export",
        "pytest_plugin cli",
        "__main__",
    )
)
"""Top-level modules and packages of the harness, lowest first; imports run strictly downward, and freely within a package."""

WRAPPERS = frozenset("_wrapping storage planner stateful executor filesystem endpoint interception".split())
JUDGES = frozenset("oracles expectation".split())


def _top(module: str) -> str:
    """``harness.worlds.base`` -> ``worlds``; the package itself is ""."""
    return module.split(".")[1] if "." in module else ""


def _sources() -> Iterator[tuple[str, Path]]:
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def _imports(tree: ast.AST) -> Iterator[str]:
    """Full names of what a module imports, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@functools.cache
def _imported() -> dict[str, frozenset[str]]:
    """Module -> full names that it imports."""
    return {name: frozenset(_imports(ast.parse(path.read_text(encoding="utf-8")))) for name, path in _sources()}


@functools.cache
def _uses() -> dict[str, frozenset[str]]:
    """Top-level module -> other top-level modules of the harness that it imports."""
    known = {_top(name) for name in _imported()}
    used: dict[str, set[str]] = {}
    for module, names in _imported().items():
        inside = {_top(name) for name in names if name.startswith("harness.")}
        used.setdefault(_top(module), set()).update((inside & known) - {"", _top(module)})
    return {module: frozenset(names) for module, names in used.items()}


def _reaches(module: str) -> frozenset[str]:
    """Everything that ``module`` imports, directly or not."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        for name in _uses().get(waiting.pop(), frozenset()) - found:
            found.add(name)
            waiting.append(name)
    return frozenset(found)


def _level(module: str) -> int:
    for number, level in enumerate(LEVELS):
        if module in level:
            return number
    raise AssertionError(f"harness.{module} has no level: add it to LEVELS in {Path(__file__).name}, above all that it imports")


def test_imports_run_strictly_downward() -> None:
    """No module imports one of its own level or of a higher one."""
    wrong = [
        f"{module} imports {used}"
        for module, names in _uses().items()
        for used in sorted(names)
        if module and _level(used) >= _level(module)
    ]
    assert wrong == []


def test_the_judge_shares_no_code_with_the_culprit() -> None:
    """Oracles and expectations reach no wrapper, injector or world, however indirectly."""
    assert {judge: sorted(_reaches(judge) & (WRAPPERS | {"_inject", "worlds"})) for judge in JUDGES} == {judge: [] for judge in JUDGES}


def test_a_wrapper_works_under_any_launcher() -> None:
    """Wrappers reach no world, however indirectly."""
    assert [wrapper for wrapper in sorted(WRAPPERS) if "worlds" in _reaches(wrapper)] == []


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("pytest", {"pytest_plugin", "conformance"}),
        ("_pytest", set()),
        ("hypothesis", {"strategies", "fuzz", "conformance"}),
        ("scenarios", set()),
        ("tests", set()),
    ],
)
def test_test_tools_are_imported_where_they_belong(library: str, allowed: set[str]) -> None:
    """Whoever imports the wrappers alone needs no test framework, and the library never needs its own tests."""
    found = {_top(module) for module, names in _imported().items() if any(name.split(".")[0] == library for name in names)}
    assert found <= allowed


def _private_torch(tree: ast.AST) -> Iterator[str]:
    for name in _imports(tree):
        if name.split(".")[0] == "torch" and any(part.startswith("_") for part in name.split(".")):
            yield name
    for node in ast.walk(tree):
        parts, inner = [], node
        while isinstance(inner, ast.Attribute):
            parts.append(inner.attr)
            inner = inner.value
        if isinstance(inner, ast.Name) and inner.id == "torch" and any(part.startswith("_") for part in parts):
            yield ".".join(["torch", *reversed(parts)])


def test_torch_internals_are_named_in_one_place() -> None:
    """What a new torch may break is all in ``harness._torch``."""
    found = {
        name: sorted(set(_private_torch(ast.parse(path.read_text(encoding="utf-8")))))
        for name, path in _sources()
        if not name.startswith("harness.findings.reproducers.")  # which stand alone, on the torch that they were recorded for
    }
    assert {name: symbols for name, symbols in found.items() if symbols and name != "harness._torch"} == {}
