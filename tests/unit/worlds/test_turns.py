"""Turns: how many ranks may run at the same time, in processes that share a directory."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ckpt_harness.errors import HarnessError
from ckpt_harness.worlds.processes import turns
from ckpt_harness.worlds.processes.turns import RANK_MEMORY, Turns, available_memory, bearable

HOLDER = """
import sys
from pathlib import Path
from ckpt_harness.worlds.processes.turns import Turns

turn = Turns(Path(sys.argv[1]), 4).take(4)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A process that has to wait reports it at once."""
    monkeypatch.setattr(turns, "_PATIENCE", 0.0)


@pytest.mark.parametrize(
    ("processors", "memory", "ranks"),
    [(2, 1 << 40, 8), (64, 1 << 40, 256), (64, 10 * RANK_MEMORY, 10), (1, 0, 1)],
)
def test_processors_and_memory_limit_the_number_of_ranks(processors: int, memory: int, ranks: int) -> None:
    """The scarcer resource decides; a single rank always runs."""
    assert bearable(processors, memory) == ranks


def test_some_memory_is_available() -> None:
    """The value is read from this machine."""
    assert available_memory() > RANK_MEMORY


def test_turns_are_taken_while_there_is_room(tmp_path: Path) -> None:
    """Ended turns make room again."""
    mine, others = Turns(tmp_path, 4), Turns(tmp_path, 4)
    first, second = mine.take(2), others.take(2)
    with pytest.raises(HarnessError, match="no turn for 1 ranks"):
        others.take(1)
    first.end()
    others.take(2).end()
    second.end()
    mine.take(4).end()


def test_a_world_larger_than_the_limit_runs_alone(tmp_path: Path) -> None:
    """It takes all locks."""
    turns = Turns(tmp_path, 4)
    turn = turns.take(9)
    with pytest.raises(HarnessError, match="no turn"):
        turns.take(1)
    turn.end()
    turns.take(1).end()


def test_a_turn_that_failed_holds_no_locks(tmp_path: Path) -> None:
    """Otherwise two waiting processes could wait for each other."""
    turns = Turns(tmp_path, 4)
    turn = turns.take(3)
    with pytest.raises(HarnessError, match="no turn for 2 ranks"):
        turns.take(2)
    turns.take(1).end()
    turn.end()


def test_a_killed_process_gives_its_turn_back(tmp_path: Path) -> None:
    """The kernel releases its locks."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(HarnessError, match="no turn"):
            Turns(tmp_path, 4).take(1)
        holder.send_signal(signal.SIGKILL)
        holder.wait(30)
        Turns(tmp_path, 4).take(4).end()
