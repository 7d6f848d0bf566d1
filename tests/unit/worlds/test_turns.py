"""How many ranks may run at once, over processes that share a directory."""

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
    """Who has to wait says so at once."""
    monkeypatch.setattr(turns, "_PATIENCE", 0.0)


@pytest.mark.parametrize(
    ("processors", "memory", "ranks"),
    [(2, 1 << 40, 8), (64, 1 << 40, 256), (64, 10 * RANK_MEMORY, 10), (1, 0, 1)],
)
def test_processors_and_memory_bear_so_many_ranks(processors: int, memory: int, ranks: int) -> None:
    """Whichever is scarcer; one rank always runs."""
    assert bearable(processors, memory) == ranks


def test_some_memory_is_available() -> None:
    """Read from this machine."""
    assert available_memory() > RANK_MEMORY


def test_turns_are_taken_while_there_is_room(tmp_path: Path) -> None:
    """And given back."""
    mine, others = Turns(tmp_path, 4), Turns(tmp_path, 4)
    first, second = mine.take(2), others.take(2)
    with pytest.raises(HarnessError, match="no turn for 1 ranks"):
        others.take(1)
    first.end()
    others.take(2).end()
    second.end()
    mine.take(4).end()


def test_a_world_larger_than_the_machine_bears_runs_alone(tmp_path: Path) -> None:
    """It takes all there is."""
    turns = Turns(tmp_path, 4)
    turn = turns.take(9)
    with pytest.raises(HarnessError, match="no turn"):
        turns.take(1)
    turn.end()
    turns.take(1).end()


def test_who_could_not_get_all_holds_nothing(tmp_path: Path) -> None:
    """Or two that wait would wait for one another."""
    turns = Turns(tmp_path, 4)
    turn = turns.take(3)
    with pytest.raises(HarnessError, match="no turn for 2 ranks"):
        turns.take(2)
    turns.take(1).end()
    turn.end()


def test_a_killed_process_gives_its_turn_back(tmp_path: Path) -> None:
    """The kernel sees to that."""
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
