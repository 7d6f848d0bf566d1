"""docs/examples/storage as its owner has it: the harness and the example as installed packages of a fresh environment, run from an empty directory.

All tests of the example, and all of ``ckpt-harness check shelf``, take a minute; here a part of both runs.
"""

from __future__ import annotations

import shlex
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
from home import ROOT, Home

EXAMPLE = ROOT / "docs/examples/storage"

_CHECK = """
from ckpt_harness.campaigns.sweep import Sweep
from ckpt_harness.cli import main
from ckpt_harness.conformance import check
check._sweeps = lambda name, _, sizes: [Sweep(("save",), sizes, engine=name, workload="stateful")]
check.MODELS = ("kill",)
main()
"""
"""The command line, of which ``check`` sweeps saves alone."""


@dataclass(frozen=True)
class Project:
    """The example, away from this repository and its configuration."""

    home: Home
    root: Path

    def tests(self, only: str, jobs: int = 0, **environment: str) -> tuple[int, str]:
        """Runs some of the example's tests, as its owner does."""
        options = ["-n", str(jobs), "-rfx", "-p", "no:cacheprovider", "--ckpt-matrix", "hide"]
        return self.home.run("python", "-m", "pytest", *options, "-k", only, str(self.root / "tests"), **environment)


@pytest.fixture(scope="module")
def project(home: Home) -> Project:
    """A copy of the example, installed."""
    root = home.root / "project"
    shutil.copytree(EXAMPLE, root, ignore=shutil.ignore_patterns("__pycache__"))
    home.install(root)
    return Project(home, root)


def test_the_ten_lines_run_every_claim(project: Project) -> None:
    """As an installed package, spread over processes; what its own register knows is expected, and its engine has a name."""
    status, output = project.tests("(learns and save-2-writer) or flipped or (power_cut and fresh)", jobs=2)
    assert status == 0, output
    assert " passed" in output
    assert output.count("known: SHELF-1") == 2
    assert "test_what_was_reported_as_saved_survives_a_power_cut[ordered-fresh]" in output

    status, output = project.home.run("python", "-m", "ckpt_harness", "engines", COLUMNS="200")
    assert status == 0, output
    assert "shelf.engine:ENGINE" in output


def test_the_example_is_about_ten_lines() -> None:
    """Of code, in the file that an adopter writes."""
    lines = [line for line in (EXAMPLE / "tests/test_conformance.py").read_text("utf-8").splitlines() if line.strip()]
    assert len(lines) <= 10


def test_one_command_checks_it_by_the_name_that_it_gives_itself(project: Project) -> None:
    """Nothing counts against it but what its own register knows."""
    register = str(EXAMPLE / "tests/known.toml")
    status, output = project.home.run("python", "-c", _CHECK, "check", "shelf", "--ranks", "1", "--jobs", "1", "--register", register)
    assert status == 0, output
    assert "checksums: holds" in output
    assert "no new violation" in output


def test_a_bug_is_found_and_its_line_shows_it_again(project: Project, tmp_path: Path) -> None:
    """Nothing is committed, in a copy of the package, which comes before the installed one; the line works from the directory in which the tests ran."""
    shutil.copytree(EXAMPLE / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    source = tmp_path / "src/shelf/storage.py"
    commit = "self.fs.rename(self.place"
    assert commit in source.read_text("utf-8")
    source.write_text(source.read_text("utf-8").replace(commit, "pass  # (self.place"), "utf-8")
    status, output = project.tests("bit_equal and save-2", PYTHONPATH=str(tmp_path / "src"))
    assert status == 1, output
    line = next(line for line in output.splitlines() if "ckpt-harness replay" in line)
    status, output = project.home.run(*shlex.split(line[line.index("ckpt-harness") :]), PYTHONPATH=str(tmp_path / "src"))
    assert status == 1, output
    assert "VIOLATED" in output
