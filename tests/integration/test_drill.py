"""The drill gets into a program, sees its points, and leaves neither processes nor traces behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import drill_programs
import pytest
from other_processes import alive, until

import ckpt_harness
from ckpt_harness.drill.checkpoints import DcpCheckpoints
from ckpt_harness.drill.evidence import Start
from ckpt_harness.drill.launchers.real import RealLauncher
from ckpt_harness.drill.settings import Settings
from ckpt_harness.drill.start import DIRECTORY
from ckpt_harness.drill.starting import Starter, workshop
from ckpt_harness.drill.warden import descendants

LIMIT = 120
ROOT = Path(__file__).parents[2]


def _environment(**more: str) -> dict[str, str]:
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("CKPT_HARNESS", "PYTEST", "COV_", "RANK", "LOCAL_RANK", "WORLD_SIZE"))}
    return {**plain, "PYTHONPATH": str(Path(ckpt_harness.__file__).parents[1]), "COLUMNS": "160", **more}


def _drill(place: Path, program: str, *options: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Drills a program in a directory, from the command line."""
    (place / "program.py").write_text(program, "utf-8")
    command = [sys.executable, "-m", "ckpt_harness", "drill", "--state", "runs/1", *options, "--", sys.executable, "program.py", "runs/1"]
    (place / "runs").mkdir(exist_ok=True)
    return subprocess.run(command, cwd=place, env=_environment(**more), capture_output=True, text=True, timeout=LIMIT, check=False)


def _started(place: Path, program: str, monkeypatch: pytest.MonkeyPatch, **environment: str) -> Start:
    """Starts a program once, undisturbed."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (place / "program.py").write_text(program, "utf-8")
    state = str(place / "run")
    with workshop(place) as root:
        settings = Settings([sys.executable, str(place / "program.py"), state], state)
        starter = Starter(settings, RealLauncher(), DcpCheckpoints(), root)
        start = starter.start(starter.place(Path(state)), limit=LIMIT)
    assert start.status == 0, start.printed
    return start


# -- getting in


def test_nothing_happens_without_a_drill() -> None:
    """With the directory on PYTHONPATH, neither the harness nor torch is imported, and the path is as it would be."""
    code = "import sys; print('ckpt_harness' in sys.modules, 'torch' in sys.modules, any('ckpt_harness' in entry for entry in sys.path))"
    ran = subprocess.run([sys.executable, "-c", code], env=_environment(PYTHONPATH=str(DIRECTORY)), capture_output=True, text=True, timeout=LIMIT, check=True)
    assert ran.stdout == "False False False\n"


def test_another_sitecustomize_still_runs_and_torch_is_left_to_the_program(tmp_path: Path) -> None:
    """The harness need not be installed where the program runs."""
    (tmp_path / "sitecustomize.py").write_text("import builtins\nbuiltins.was_here = True\n", "utf-8")
    code = "import sys; print(was_here, 'torch' in sys.modules, 'numpy' in sys.modules)"
    variables = {"PYTHONPATH": f"{DIRECTORY}{os.pathsep}{tmp_path}", "CKPT_HARNESS_STATE": str(tmp_path), "CKPT_HARNESS_STRIKE": "hang at nothing"}
    ran = subprocess.run([sys.executable, "-c", code], env=_environment(**variables), capture_output=True, text=True, timeout=LIMIT, check=False)
    assert (ran.stdout, ran.stderr) == ("True False False\n", "")


def test_children_of_a_rank_are_no_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither forked nor spawned, nor started as another program."""
    start = _started(tmp_path, drill_programs.RELATIVES, monkeypatch, RANK="3", WORLD_SIZE="4", LOCAL_RANK="1")
    roles = {point.path: point.role for point in start.points if point.site == "file.write"}
    assert roles == {"own": "3", "fork": "3child", "spawn": "3child", "other": "3child", "forked": "3child"}


@pytest.mark.parametrize("outer", [{}, {"RANK": "0", "WORLD_SIZE": "1"}], ids=["plain", "on-kubernetes"])
def test_a_launcher_is_no_rank(outer: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though it is a Python process, and may have a rank of its own among machines."""
    start = _started(tmp_path, drill_programs.LAUNCHER, monkeypatch, **outer)
    assert {point.role for point in start.points if point.path in ("0", "1")} == {"0", "1"}
    assert not outer or set(start.raised) == {"0", "1"}
    assert outer or not [point for point in start.points if "launcher" in point.path]


# -- points


def test_every_operation_on_a_file_is_a_point(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before and after each; of a file that is written: once it is there, half-way where it is long, and once it is closed."""
    start = _started(tmp_path, drill_programs.OPERATIONS, monkeypatch)
    assert [point.name.replace("@0#1", "") for point in start.points] == [
        *("file.mkdir()", "file.mkdir()!after"),
        *("file.write(a)", "file.write(a)!opened", "file.write(a)!half", "file.write(a)!after"),
        *("file.rename(b)", "file.rename(b)!after", "file.link(c)", "file.link(c)!after", "file.symlink(d)", "file.symlink(d)!after"),
        *("file.truncate(c)", "file.truncate(c)!after", "file.mkdir(below)", "file.mkdir(below)!after"),
        *("file.write(below/e)", "file.write(below/e)!opened", "file.write(below/e)!after"),
        *("file.write(TMP)", "file.write(TMP)!opened", "file.write(TMP)!after", "file.rename(f)", "file.rename(f)!after"),
        *("file.remove(below/e)", "file.remove(below/e)!after", "file.rmdir(below)", "file.rmdir(below)!after"),
        *("file.write(g)", "file.write(g)!opened", "file.write(g)!after"),
    ]
    assert [read.path for read in start.reads] == ["b", "b", "g", "b"]


# -- from the command line


def test_a_program_that_survives_has_status_0(tmp_path: Path) -> None:
    """The user's own directory is not touched, and the copies are gone."""
    copies = tmp_path / "copies"
    copies.mkdir()
    ran = _drill(tmp_path, drill_programs.STEADY, "--result", "runs/1/result.json", "--work", "copies", "--json", "lines")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "no claim is violated" in ran.stdout
    assert "no whole checkpoint was seen, so that resume and retention are not judged; --whole COMMAND" in ran.stdout
    lines = [json.loads(line) for line in (tmp_path / "lines").read_text("utf-8").splitlines()]
    assert {line["effect"] for line in lines} == {"kill-job", "ENOSPC"}
    assert all(line["reached"] and not line["violated"] for line in lines)
    assert not list(copies.iterdir())
    assert not (tmp_path / "runs" / "1").exists()


def test_a_program_that_reaches_the_original_is_stopped(tmp_path: Path) -> None:
    """Before it changes anything there."""
    ran = _drill(tmp_path, drill_programs.STRAY)
    assert ran.returncode == 2
    assert "although its words were changed to a copy of 'runs/1': name the directory in the command or in the environment" in ran.stderr
    assert not (tmp_path / "runs" / "1").exists()


def test_a_program_that_is_not_deterministic_is_told_so(tmp_path: Path) -> None:
    """In one line, with what differed, before any point is tried."""
    ran = _drill(tmp_path, drill_programs.RANDOM, "--result", "runs/1/result.json")
    assert ran.returncode == 3
    assert ran.stderr.startswith("Error: the command is not deterministic: two undisturbed runs differ: result.json: value.seed is ")
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("program", "options", "status", "message"),
    [
        ("import sys; sys.exit('no data')", (), 3, "Error: the command fails undisturbed, with status 1: no data"),
        ("", (), 3, "Error: the command changes nothing in runs/1 that the drill can see, so that there are no points"),
        (drill_programs.STEADY, ("--result", "runs/1/other"), 3, "Error: the command does not write --result runs/1/other"),
        (drill_programs.STEADY, ("--only", "file.delete*"), 2, "no point is named 'file.delete*'"),
        (drill_programs.STEADY, ("--effects", "kill-rank"), 2, "kill-rank cannot strike at these points: an error strikes before an operation;"),
        (drill_programs.STEADY, ("--effects", "kill-all"), 2, "unknown effect 'kill-all'; valid: kill-job, kill-rank, term"),
        (drill_programs.STEADY, ("--state", "other"), 2, "neither the command nor the environment names --state 'other'"),
        (drill_programs.STEADY, ("--state", "."), 2, "--state '.' cannot be told from other words of the command"),
    ],
)
def test_what_cannot_be_drilled_is_refused_in_one_line(program: str, options: tuple[str, ...], status: int, message: str, tmp_path: Path) -> None:
    """With what is wrong."""
    ran = _drill(tmp_path, program, *options)
    assert ran.returncode == status, ran.stdout + ran.stderr
    assert message in ran.stderr
    assert "Traceback" not in ran.stderr


def test_a_command_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    """In one line."""
    command = [sys.executable, "-m", "ckpt_harness", "drill", "--state", "runs/1", "--", "no-such-program", "runs/1"]
    ran = subprocess.run(command, cwd=tmp_path, env=_environment(), capture_output=True, text=True, timeout=LIMIT, check=False)
    assert ran.returncode == 2
    assert "'no-such-program' cannot be started: No such file or directory" in ran.stderr


def test_a_violation_is_shown_again_by_both_of_its_lines(tmp_path: Path) -> None:
    """The one through drill, and the one in a plain shell, which needs no drill."""
    for name in ("train.py", "whole.py"):
        (tmp_path / name).write_text((ROOT / "docs" / "examples" / "drill" / name).read_text("utf-8"), "utf-8")
    programs = {"train": [sys.executable, "train.py", "runs/1", "16"], "whole": f"{sys.executable} whole.py"}
    command = [
        *(sys.executable, "-m", "ckpt_harness", "drill", "--state", "runs/1", "--result", "runs/1/result.json", "--whole", str(programs["whole"])),
        *("--effects", "kill-job", "--only", "file.write(step-16.new)@0#1!after", "--json", "lines", "--", *programs["train"]),
    ]
    ran = subprocess.run(command, cwd=tmp_path, env=_environment(), capture_output=True, text=True, timeout=LIMIT, check=False)
    assert ran.returncode == 1, ran.stdout + ran.stderr
    assert "step-8.json was loaded, although step-12.json was newer and whole" in ran.stdout
    (line,) = (json.loads(line) for line in (tmp_path / "lines").read_text("utf-8").splitlines())
    through_drill, plain = line["again"]
    bin_directory = tmp_path / "bin"
    bin_directory.mkdir()
    for name, how in (("python", ""), ("ckpt-harness", "-m ckpt_harness")):
        (bin_directory / name).write_text(f'#!/bin/sh\nexec "{sys.executable}" {how} "$@"\n', "utf-8")
        (bin_directory / name).chmod(0o755)
    environment = _environment(PATH=f"{bin_directory}{os.pathsep}{os.environ['PATH']}")

    def shell(line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(line, shell=True, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False)

    again = shell(through_drill)
    assert again.returncode == 1, again.stdout + again.stderr
    killed = shell(plain.rpartition(";")[0])
    assert killed.returncode not in (0, 1), killed.stderr
    assert "ckpt-harness: kill-job at file.write(step-16.new)@0#1!after" in killed.stderr
    assert sorted(path.name for path in (tmp_path / "runs" / "1").iterdir()) == ["step-12.json", "step-16.new", "step-8.json"]


# -- nothing is left behind


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_no_process_outlives_the_drill(number: int, tmp_path: Path) -> None:
    """However it ends; a child in a session of its own is found, too."""
    (tmp_path / "program.py").write_text(drill_programs.WAITING, "utf-8")
    ready = tmp_path / "ready"
    words = [sys.executable, "program.py", "runs/1", str(ready)]
    command = [sys.executable, "-m", "ckpt_harness", "drill", "--state", "runs/1", "--work", str(tmp_path), "--", *words]
    with subprocess.Popen(command, cwd=tmp_path, env=_environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as drill:
        until(ready.exists, LIMIT)
        left = descendants(drill.pid)
        assert len(left) == 3  # the warden, the program and its child
        drill.send_signal(number)
        drill.wait(LIMIT)
    until(lambda: not any(alive(pid) for pid in left), LIMIT)
    assert not (tmp_path / "runs").exists()
