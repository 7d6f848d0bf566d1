"""The drill with programs that use torch: the sites of DCP, torch.save, and the ranks of torchrun, started anew and forked."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import drill_programs
import pytest
from other_processes import alive, until

import ckpt_harness
from ckpt_harness.drill.checkpoints import DcpCheckpoints
from ckpt_harness.drill.evidence import Point
from ckpt_harness.drill.launchers.base import Launcher
from ckpt_harness.drill.launchers.forked import ChoosingLauncher, arguments_of_torchrun
from ckpt_harness.drill.launchers.real import RealLauncher
from ckpt_harness.drill.oracles import loaded_parts
from ckpt_harness.drill.settings import Settings
from ckpt_harness.drill.starting import Starter, workshop
from ckpt_harness.drill.warden import descendants
from ckpt_harness.drill.watch import Watch

LIMIT = 240


def test_a_program_that_saves_with_dcp(tmp_path: Path) -> None:
    """Sites and files are points; what a death leaves is told from its metadata; the next start goes on from the checkpoint that is whole."""
    (tmp_path / "program.py").write_text(drill_programs.DCP, "utf-8")
    state = str(tmp_path / "run")
    seen: list[str] = []

    def strike(point: Point, watch: Watch) -> str:
        seen.append(point.name)
        return watch.strike("kill-job") if point.name == "save[2]/writer.finish@0#1" else "go"

    with workshop(tmp_path) as root:
        whole = DcpCheckpoints()
        starter = Starter(Settings([sys.executable, str(tmp_path / "program.py"), state], state), RealLauncher(), whole, root)
        place = starter.place(Path(state))
        struck = starter.start(place, strike, limit=LIMIT)
        assert (struck.struck, struck.unseen) == (True, ())
        left = [(found.name, found.whole, found.why_not) for found in whole.look(place.state)]
        assert left == [("step-1", True, ""), ("step-2", False, "no .metadata")]
        assert {
            "save[1]/writer.write_data@0#1",
            "save[1]/writer.write_data@0#1!after",
            "file.rename(step-1/.metadata)@0#1",
            "torch.save(last.pt)@0#1",
            "torch.save(last.pt)@0#1!half",
            "torch.save(last.pt)@0#1!after",
        } <= set(seen)
        start = starter.start(place, limit=LIMIT)
        assert start.ended_well, start.printed
        assert loaded_parts(start, "0", whole.name_of) == {"1"}
        assert all(found.whole for found in whole.look(place.state))
        (place.state / "step-2" / "__0_0.distcp").write_bytes(b"short")
        torn = whole.look(place.state)[1]
        assert (torn.name, torn.whole) == ("step-2", False)
        assert torn.why_not.startswith("__0_0.distcp has 5 bytes instead of ")


TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]


@contextlib.contextmanager
def _starter(place: Path, launcher: Launcher, words: list[str]) -> Iterator[Starter]:
    with workshop(place) as root, contextlib.closing(launcher):
        yield Starter(Settings(words, words[-1], grace=LIMIT), launcher, DcpCheckpoints(), root)


@pytest.mark.parametrize("launcher", [RealLauncher, ChoosingLauncher], ids=["real", "forked"])
def test_the_ranks_of_torchrun(launcher: type[Launcher], tmp_path: Path) -> None:
    """They are known by their numbers; torchrun itself is none of them, and starts both anew where it may, after the death of one."""
    (tmp_path / "program.py").write_text(drill_programs.RANKS, "utf-8")
    state = str(tmp_path / "run")
    seen: list[str] = []

    def strike(point: Point, watch: Watch) -> str:
        seen.append(point.name)
        if point.name == "file.write(1)@1#1!after" and seen.count(point.name) == 1:
            return watch.strike("kill-rank")
        if seen.count("file.write(1)@1#1!after") == 2 and seen.count("file.write(0)@0#1!after") == 2:
            return watch.strike("kill-job")
        return "go"

    with _starter(tmp_path, launcher(), [*TORCHRUN, "--max-restarts", "1", str(tmp_path / "program.py"), state]) as starter:
        place = starter.place(Path(state))
        start = starter.start(place, strike, limit=LIMIT)
        assert {point.role for point in start.points} == {"0", "1"}
        assert not start.late
        assert {path.name: path.read_text("utf-8") for path in place.state.iterdir()} == {"0": "1", "1": "1"}


def test_a_forked_rank_finds_what_a_new_interpreter_would_find(tmp_path: Path) -> None:
    """Variables, arguments, paths and streams, and its exit status ends the job; but torch is there before the program imports it."""
    (tmp_path / "program.py").write_text(drill_programs.SURROUNDINGS, "utf-8")
    state = str(tmp_path / "run")
    found: list[dict[str, Any]] = []
    for launcher in (RealLauncher(), ChoosingLauncher()):
        with _starter(tmp_path, launcher, [*TORCHRUN, str(tmp_path / "program.py"), state]) as starter:
            place = starter.place(Path(state))
            start = starter.start(place, limit=LIMIT)
            assert start.status == 1
            assert "exitcode  : 3" in start.printed
            found.append({rank: json.loads((place.state / rank).read_text("utf-8")) for rank in ("0", "1")})
    real, forked = found
    assert [seen["0"].pop("torch") for seen in found] == [seen["1"].pop("torch") for seen in found] == [False, True]
    assert forked == real


def test_only_torchrun_of_this_interpreter_is_forked() -> None:
    """A shell script, another interpreter or another module is started as it is."""
    assert arguments_of_torchrun([*TORCHRUN, "train.py"]) == ["--nproc-per-node", "2", "train.py"]
    for words in (["sh", "train.sh"], [sys.executable, "train.py"], [sys.executable, "-m", "train"], ["no-such-program"], []):
        assert arguments_of_torchrun(words) is None


def test_no_forked_process_outlives_the_drill(tmp_path: Path) -> None:
    """Though the drill is killed: neither the server, nor torchrun, nor a rank."""
    (tmp_path / "program.py").write_text(drill_programs.RANKS, "utf-8")
    words = [*TORCHRUN, "program.py", "runs/1"]
    command = [sys.executable, "-m", "ckpt_harness", "drill", "--state", "runs/1", "--work", str(tmp_path), "--", *words]
    environment = {**os.environ, "PYTHONPATH": str(Path(ckpt_harness.__file__).parents[1])}
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=quiet, stderr=quiet) as drill:
        until(lambda: list(tmp_path.glob("ckpt-drill-*/copy-*/state/1/0")), LIMIT)
        left = descendants(drill.pid)
        assert len(left) >= 4  # the server, the warden, torchrun and rank 0
        drill.send_signal(signal.SIGKILL)
        drill.wait(LIMIT)
    until(lambda: not any(alive(pid) for pid in left), LIMIT)
