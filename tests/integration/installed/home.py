"""A fresh environment into which the harness is installed, as its users have it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
LIMIT = 250
"""Seconds that a command may take."""


@dataclass(frozen=True)
class Home:
    """A fresh environment, and an empty directory to work in."""

    root: Path

    @property
    def packages(self) -> Path:
        """Where the environment installs packages."""
        return next((self.root / "venv/lib").glob("python*")) / "site-packages"

    def run(self, *command: str, cwd: Path | None = None, **environment: str) -> tuple[int, str]:
        """Exit status and output of a program of the environment, in an empty directory unless ``cwd`` names another."""
        plain = {name: value for name, value in os.environ.items() if not name.startswith(("CKPT_HARNESS", "PYTEST", "PYTHON", "COV_"))}
        path = f"{self.root / 'venv/bin'}{os.pathsep}{plain['PATH']}"
        empty = self.root / "empty"
        empty.mkdir(exist_ok=True)
        ran = subprocess.run(
            command,
            cwd=cwd or empty,
            env={**plain, "PATH": path, **environment},
            capture_output=True,
            text=True,
            timeout=LIMIT,
            check=False,
        )
        return ran.returncode, ran.stdout + ran.stderr

    def install(self, sources: Path) -> None:
        """Builds a package and installs it, without dependencies and without a package index."""
        status, output = self.run("python", "-m", "pip", "install", "--no-deps", "--no-build-isolation", "--no-index", "-q", str(sources))
        assert status == 0, output


def make_home(root: Path) -> Home:
    """An environment with torch and pytest of the environment that runs the tests, and with the harness installed from its sources.

    Args:
        root: an empty directory.
    """
    home = Home(root)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(root / "venv")], check=True, timeout=LIMIT)
    (home.packages / "borrowed.pth").write_text("\n".join(path for path in sys.path if path.endswith("-packages")) + "\n")
    sources = root / "sources"  # a copy, since building leaves files beside what it builds
    sources.mkdir()
    shutil.copytree(ROOT / "harness", sources / "harness", ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, sources)
    home.install(sources)
    return home
