"""Findings about third-party packages: with the package installed, each shows with its script and with its replay line."""

from __future__ import annotations

import importlib.metadata
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

import ckpt_harness.findings
from ckpt_harness.findings.entry import Entry
from ckpt_harness.findings.register import Register

ENTRIES = [entry for entry in Register.shipped().entries if entry.packages]
SCRIPTS = Path(ckpt_harness.findings.__file__).parent / "reproducers"


def _needed(entry: Entry) -> None:
    """Skips the test if a package is missing, or has another version than the finding was recorded for."""
    for package in entry.packages:
        name, _, version = package.partition("==")
        try:
            installed = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            pytest.skip(f"{name} is not installed")
        if installed != version:
            pytest.skip(f"recorded for {package}, but {installed} is installed")


def _python(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=cwd, capture_output=True, text=True, timeout=250, check=False)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_a_script_shows_the_finding_with_torch_and_the_package(entry: Entry, tmp_path: Path) -> None:
    """The script ends with status 0 and prints the finding."""
    _needed(entry)
    ran = _python("-W", "ignore", str(SCRIPTS / entry.reproducer), cwd=tmp_path)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.splitlines()[-1].startswith("wrong: ")


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry.id)
def test_the_replay_line_shows_the_finding(entry: Entry) -> None:
    """The replay line shows the finding and no new violation."""
    _needed(entry)
    ran = _python("-m", "ckpt_harness", *shlex.split(entry.replay)[1:], cwd=Path(__file__).parents[3])
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"({entry.id})" in ran.stdout
