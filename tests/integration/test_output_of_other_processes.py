"""What workers and real ranks print stays out of reports, too."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from works import Print

from ckpt_harness.campaigns.pools.local import LocalPool

CHATTY = f"{Path(__file__).parents[1] / 'unit' / 'cli' / 'chatty_engine.py'}:CHATTY"


def test_a_worker_keeps_what_its_cases_print(capfd: pytest.CaptureFixture[str]) -> None:
    """It reaches the records, and not the streams of the command."""
    assert list(LocalPool(2).run(Print(), ["from a worker"])) == ["from a worker"]
    assert tuple(capfd.readouterr()) == ("", "")


def test_a_story_shows_what_real_ranks_print() -> None:
    """A rank that hangs, too: it is killed, and what it printed is not lost."""
    plan = "reader.read_data@1=hang"
    words = ["replay", plan, "--op", "load", "--ranks", "2", "--world", "processes", "--workload", "replicated", "--engine", CHATTY]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-m", "ckpt_harness", *words], env=environment, capture_output=True, text=True, timeout=250, check=False)
    assert done.stderr == ""
    chatter = [line.strip() for line in done.stdout.splitlines() if "CHATTER" in line]
    assert chatter == ["| CHATTER: loading"] * 2, done.stdout


def test_a_crash_of_native_code_shows_where(tmp_path: Path) -> None:
    """The stack of each thread goes to the command's own stderr."""
    program = "import ctypes\nfrom ckpt_harness.cases.printed import caught\nwith caught():\n    ctypes.string_at(0)\n"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)
    assert done.returncode < 0
    assert "Segmentation fault" in done.stderr
    assert "string_at" in done.stderr
