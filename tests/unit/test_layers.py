"""The order of the rooms and of the files within a room, and what must never be imported where; read from the sources."""

from __future__ import annotations

import ast
import functools
import graphlib
from collections.abc import Iterator
from pathlib import Path

import pytest

import ckpt_harness

ROOT = Path(ckpt_harness.__file__).parent

ROOMS = (
    *("errors", "_torch", "history", "runtime"),  # the ground: files that every room may use
    *("faults", "disk", "workloads", "injection", "worlds", "judging", "engines", "findings"),
    *("cases", "jobs", "drill", "strategies", "campaigns", "report", "export", "conformance", "pytest_plugin", "cli", "__main__"),
)
"""Rooms of the library, lowest first: files and packages at its top level. A room imports from the rooms before it only."""


def _room(module: str) -> str:
    """``ckpt_harness.worlds.base`` -> ``worlds``; the package itself is ""."""
    return module.split(".")[1] if "." in module else ""


@functools.cache
def _files() -> dict[str, Path]:
    """Full name of each module -> its file."""
    found = {}
    for path in sorted(ROOT.rglob("*.py")):
        parts = path.relative_to(ROOT.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def _imports(tree: ast.AST) -> Iterator[str]:
    """Full names of what a module imports, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"line {node.lineno}: imports are absolute"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _for_types_alone(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _when_run(tree: ast.Module) -> ast.Module:
    """The module without what it imports for type checkers alone."""
    return ast.Module([node for node in tree.body if not _for_types_alone(node)], [])


def _parsed(module: str) -> ast.Module:
    return ast.parse(_files()[module].read_text(encoding="utf-8"))


@functools.cache
def _imported() -> dict[str, frozenset[str]]:
    """Module -> full names that it imports."""
    return {name: frozenset(_imports(_parsed(name))) for name in _files()}


def _module(name: str) -> str:
    """The module that an imported name is, or is taken from: ``ckpt_harness.errors.PlanError`` -> ``ckpt_harness.errors``."""
    return name if name in _files() else name.rpartition(".")[0]


@functools.cache
def _uses() -> dict[str, frozenset[str]]:
    """Module -> other modules of the library that it imports."""
    return {
        module: frozenset(_module(name) for name in names if name.startswith("ckpt_harness.")) - {module} for module, names in _imported().items()
    }


def _reaches(room: str) -> frozenset[str]:
    """Every room that ``room`` imports from, directly or not."""
    found: set[str] = set()
    waiting = [room]
    while waiting:
        here = waiting.pop()
        for module, used in _uses().items():
            if _room(module) == here:
                new = {_room(name) for name in used} - found - {room, ""}
                found |= new
                waiting += new
    return frozenset(found)


def test_every_room_has_its_place() -> None:
    """A new file or package at the top level is added to the order of the rooms."""
    assert {_room(module) for module in _files()} - {""} == set(ROOMS)


def test_rooms_import_strictly_downwards() -> None:
    """No file imports from a room above its own."""
    wrong = [
        f"{module} imports {used}"
        for module, names in _uses().items()
        for used in sorted(names)
        if _room(module) and _room(used) and ROOMS.index(_room(used)) > ROOMS.index(_room(module))
    ]
    assert wrong == []


@pytest.mark.parametrize("room", ROOMS)
def test_files_within_a_room_have_an_order(room: str) -> None:
    """No two files of a room import each other, directly or through others; what only type checkers import does not count."""
    inside = [name for name in _files() if _room(name) == room]
    graph = {name: {_module(used) for used in _imports(_when_run(_parsed(name)))} & set(inside) - {name} for name in inside}
    try:
        graphlib.TopologicalSorter(graph).prepare()
    except graphlib.CycleError as error:
        pytest.fail(f"these files import each other: {' -> '.join(error.args[1])}")


def test_the_judge_shares_no_code_with_the_culprit() -> None:
    """Oracles and the model reach no wrapper, injector or world, however indirectly."""
    assert _reaches("judging") & {"injection", "worlds"} == set()


@pytest.mark.parametrize("part", ["evidence", "held", "calls", "model", "oracles"])
def test_the_judge_of_jobs_reads_data_alone(part: str) -> None:
    """What judges a job uses the values of the room ``jobs``, and what judges a single operation; nothing that runs or injects."""
    files = [module for module in _files() if module.startswith(f"ckpt_harness.jobs.{part}")]
    allowed = ("ckpt_harness.jobs.", "ckpt_harness.judging.", "ckpt_harness.faults.", "ckpt_harness.history", "ckpt_harness.errors")
    running = tuple(f"ckpt_harness.jobs.{name}" for name in ("run", "rank", "life_observer", "simulated_life", "observed", "single", "gathered"))
    used = {name for module in files for name in _uses()[module]}
    assert {name for name in used if not name.startswith(allowed) or name.startswith(running)} == set()


def test_a_wrapper_works_under_any_launcher() -> None:
    """Wrappers reach no world, however indirectly."""
    assert "worlds" not in _reaches("injection")


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("pytest", {"pytest_plugin", "conformance"}),
        ("_pytest", set()),
        ("hypothesis", {"strategies", "conformance"}),
        ("scenarios", set()),
        ("tests", set()),
    ],
)
def test_test_tools_are_imported_where_they_belong(library: str, allowed: set[str]) -> None:
    """Whoever imports the wrappers alone needs no test framework, and the library never needs its own tests."""
    found = {_room(module) for module, names in _imported().items() if any(name.split(".")[0] == library for name in names)}
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
    """What a new torch may break is all in ``ckpt_harness._torch``."""
    found = {
        name: sorted(set(_private_torch(_parsed(name))))
        for name in _files()
        if not name.startswith("ckpt_harness.findings.reproducers.")  # which stand alone, on the torch that they were recorded for
    }
    assert {name: symbols for name, symbols in found.items() if symbols and name != "ckpt_harness._torch"} == {}
