"""docs/examples/storage as its owner has it: the harness and the example as installed packages of a fresh environment, run from an empty directory.

The whole of its tests, and of ``ckpt-harness check shelf``, takes a minute; here a part of both runs.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "docs/examples/storage"
LIMIT = 100
"""Seconds that a command may take."""

pytestmark = pytest.mark.xdist_group("example project")  # so that one worker makes the environment, once

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
class Home:
    """A fresh environment, and an empty directory to work in."""

    root: Path

    @property
    def project(self) -> Path:
        """The example, away from this repository and its configuration."""
        return self.root / "project"

    def run(self, *command: str, **environment: str) -> tuple[int, str]:
        """Exit status and output of a program of the environment."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("CKPT_HARNESS", "PYTEST", "PYTHON", "COV_"))}
        path = f"{self.root / 'venv/bin'}{os.pathsep}{plain['PATH']}"
        cwd = self.root / "empty"
        cwd.mkdir(exist_ok=True)
        ran = subprocess.run(command, cwd=cwd, env={**plain, "PATH": path, **environment}, capture_output=True, text=True, timeout=LIMIT, check=False)
        return ran.returncode, ran.stdout + ran.stderr

    def install(self, sources: Path) -> None:
        """Builds a package and installs it, from what is here alone."""
        status, output = self.run("python", "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "-q", str(sources))
        assert status == 0, output

    def tests(self, only: str, jobs: int = 0, **environment: str) -> tuple[int, str]:
        """Runs some of the example's tests, as its owner does."""
        options = ["-n", str(jobs), "-rfx", "-p", "no:cacheprovider", "--ckpt-matrix", "hide"]
        return self.run("python", "-m", "pytest", *options, "-k", only, str(self.project / "tests"), **environment)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """An environment with torch and pytest of the one that runs this test, and with the harness and the example installed."""
    home = Home(tmp_path_factory.mktemp("home"))
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(home.root / "venv")], check=True, timeout=LIMIT)
    below = next((home.root / "venv/lib").glob("python*")) / "site-packages/borrowed.pth"
    below.write_text("\n".join(path for path in sys.path if path.endswith("-packages")) + "\n")
    sources = home.root / "sources"  # a copy, since building leaves files beside what it builds
    sources.mkdir()
    for origin, copy in ((ROOT / "harness", sources / "harness"), (EXAMPLE, home.project)):
        shutil.copytree(origin, copy, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    home.install(sources)
    home.install(home.project)
    return home


def test_the_ten_lines_run_every_claim(home: Home) -> None:
    """As an installed package, spread over processes; what its own register knows is expected, and its engine has a name."""
    status, output = home.tests("(learns and save-2-writer) or flipped or (power_cut and fresh)", jobs=2)
    assert status == 0, output
    assert " passed" in output
    assert output.count("known: SHELF-1") == 2
    assert "test_what_was_reported_as_saved_survives_a_power_cut[ordered-fresh]" in output

    status, output = home.run("python", "-m", "ckpt_harness", "engines", COLUMNS="200")
    assert status == 0, output
    assert "shelf.engine:ENGINE" in output


def test_the_example_is_about_ten_lines() -> None:
    """Of code, in the file that an adopter writes."""
    lines = [line for line in (EXAMPLE / "tests/test_conformance.py").read_text("utf-8").splitlines() if line.strip()]
    assert len(lines) <= 10


def test_one_command_checks_it_by_the_name_that_it_gives_itself(home: Home) -> None:
    """Nothing counts against it but what its own register knows."""
    register = str(EXAMPLE / "tests/known.toml")
    status, output = home.run("python", "-c", _CHECK, "check", "shelf", "--ranks", "1", "--jobs", "1", "--register", register)
    assert status == 0, output
    assert "checksums: holds" in output
    assert "nothing counts against it" in output


def test_a_bug_is_found_and_its_line_shows_it_again(home: Home, tmp_path: Path) -> None:
    """Nothing is committed, in a copy of the package, which comes before the installed one; the line works from the directory in which the tests ran."""
    shutil.copytree(EXAMPLE / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    source = tmp_path / "src/shelf/storage.py"
    commit = "self.fs.rename(self.place"
    assert commit in source.read_text("utf-8")
    source.write_text(source.read_text("utf-8").replace(commit, "pass  # (self.place"), "utf-8")
    status, output = home.tests("bit_equal and save-2", PYTHONPATH=str(tmp_path / "src"))
    assert status == 1, output
    line = next(line for line in output.splitlines() if "ckpt-harness replay" in line)
    status, output = home.run(*shlex.split(line[line.index("ckpt-harness") :]), PYTHONPATH=str(tmp_path / "src"))
    assert status == 1, output
    assert "VIOLATED" in output
