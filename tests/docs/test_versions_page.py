"""The page of versions: what ran on which torch and Python, from the records of `nox`."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest
import tomllib
from doc_pages import ROOT

PAIR = {"torch": "2.9.0", "python": "3.10"}


def _script(name: str) -> ModuleType:
    """A script of releases/, which is no package."""
    spec = importlib.util.spec_from_file_location(f"releases_{name}", ROOT / "releases" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


page, record = _script("page"), _script("record")
MATRIX = tomllib.loads((ROOT / "releases" / "matrix.toml").read_text("utf-8"))["pair"]


def _recorded(**steps: int) -> dict[str, object]:
    """A record of the pair, in which each step ended with an exit status."""
    said = {name: {"status": status, "result": "7 cases", "date": f"2026-11-0{1 + status}"} for name, status in steps.items()}
    return {"torch": "2.9.0", "python": "3.10.13", "system": "Linux x86_64", "steps": said}


def test_the_page_is_made_of_the_records_beside_it() -> None:
    """To the letter."""
    records = json.loads(page.PAGE.with_suffix(".json").read_text("utf-8"))
    assert page.PAGE.read_text("utf-8") == page.render(records, MATRIX)


@pytest.mark.parametrize(
    ("records", "row"),
    [
        ([], "| 2.9.0 | 3.10 | not run | |"),
        ([_recorded(sweep=0, crash=0)], "| 2.9.0 | 3.10.13 | green: sweep, crash | 2026-11-01 |"),
        ([_recorded(sweep=0, crash=1)], "| 2.9.0 | 3.10.13 | red: crash | 2026-11-02 |"),
        ([{**_recorded(sweep=0), "python": "3.1.10"}], "| 2.9.0 | 3.10 | not run | |"),
    ],
)
def test_a_pair_is_green_red_or_not_run(records: list[dict[str, object]], row: str) -> None:
    """A pair without a record was not run; one failed step makes it red."""
    assert row in page.render(records, [PAIR]).splitlines()


def test_the_oldest_and_the_newest_pair_are_recorded_green() -> None:
    """What pyproject.toml and the README say of them rests on a run."""
    records = json.loads(page.PAGE.with_suffix(".json").read_text("utf-8"))
    for pair in (MATRIX[0], MATRIX[-1]):
        recorded = page.record_of(pair, records)
        assert recorded is not None
        assert {"sweep", "crash", "crash --overwrite"} <= set(recorded["steps"]) <= set(record.STEPS)
        assert {step["status"] for step in recorded["steps"].values()} == {0}


def test_the_requirements_are_the_oldest_of_the_matrix() -> None:
    """The oldest torch and the oldest Python that were tried, and the pinned torch among the others."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert f"torch>={'.'.join(MATRIX[0]['torch'].split('.')[:2])}" in project["dependencies"]
    assert project["requires-python"] == f">={MATRIX[0]['python']}"
    pinned = next(line for line in (ROOT / "constraints.txt").read_text("utf-8").splitlines() if line.startswith("torch=="))
    assert pinned.removeprefix("torch==") in {pair["torch"] for pair in MATRIX}


def test_what_a_step_counted_is_said_in_words(tmp_path: Path) -> None:
    """From the files that sweep, crash and pytest leave."""
    cases = [{"verdict": "HOLDS", "known": []}, {"verdict": "HOLDS", "known": ["DCP-001"]}, {"verdict": "VIOLATED", "known": []}]
    left = {
        "sweep": "".join(json.dumps(case) + "\n" for case in cases),
        "crash": json.dumps({"points": [1, 2], "states": 9}),
        "tests": '<testsuites><testsuite tests="9" failures="1" errors="1" skipped="2"/></testsuites>',
    }
    for name, text in left.items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    said = [record.summary(name, tmp_path / name) for name in left]
    assert said == ["3 cases: 2 hold, 1 of them with a known finding, 1 VIOLATED", "2 points, 9 states", "5 passed, 2 failed, 2 skipped"]
