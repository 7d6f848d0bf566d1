"""Runs of the stand-alone scripts: reading and writing them, and what ships."""

from __future__ import annotations

import importlib.metadata
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from ckpt_harness.cli import main
from ckpt_harness.errors import UsageError
from ckpt_harness.findings import runs
from ckpt_harness.findings.register import Register
from ckpt_harness.findings.runs import Run, as_numbers, can_run, merged, read_runs, run_scripts, shipped_runs, written

ENTRIES = Register.shipped().entries


def test_every_finding_about_torch_was_run_on_the_newest_release() -> None:
    """The newest release that any script was run on is the newest of every script; third-party findings need their packages."""
    shipped = shipped_runs()
    newest = max((run.torch for of_finding in shipped.values() for run in of_finding), key=as_numbers)
    assert as_numbers(newest) >= (2, 15)
    assert [entry.id for entry in ENTRIES if not entry.packages and newest not in [run.torch for run in shipped.get(entry.id, ())]] == []


def test_every_finding_was_run_on_the_versions_that_it_is_due_on() -> None:
    """The absence of a finding fails a run on these versions of torch, so a script has shown it there."""
    shown = {name: {run.torch for run in of_finding if run.shows} for name, of_finding in shipped_runs().items()}
    assert [entry.id for entry in ENTRIES if not entry.packages and not set(entry.versions) <= shown[entry.id]] == []


def test_every_run_belongs_to_a_finding() -> None:
    """No run is left over from an entry that is gone."""
    assert set(shipped_runs()) <= {entry.id for entry in ENTRIES}


def test_a_new_run_takes_the_place_of_an_older_one() -> None:
    """Runs on other releases and of other findings stay."""
    old, new = Run("2.13.0", date(2026, 1, 1), True, "wrong: x"), Run("2.13.0", date(2026, 2, 1), False, "not as recorded")
    other = Run("2.9.1", date(2026, 1, 1), True, 'wrong: "quoted"')
    after = merged({"A-1": [other, old], "A-2": [old]}, {"A-1": [new]})
    assert after == {"A-1": [other, new], "A-2": [old]}
    assert read_runs(written(after).encode()) == after


def test_a_script_runs_only_where_its_packages_are() -> None:
    """A finding about a package is not run with another version, or without the package."""
    about = next(entry for entry in ENTRIES if entry.packages == ("accelerate==1.15.0",))
    assert [can_run(about, has) for has in ({"accelerate": "1.15.0"}, {"accelerate": "1.0"}, {})] == [True, False, False]


def test_the_command_notes_whether_a_finding_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """``findings --run FILE`` runs the scripts, and writes the release, the day and what was printed."""
    register = Register([entry for entry in ENTRIES if entry.id == "DCP-034"])
    monkeypatch.setattr(Register, "shipped", classmethod(lambda cls: register))
    file = tmp_path / "runs.toml"
    done = CliRunner().invoke(main, ["findings", "--run", str(file), "--python", sys.executable])
    assert done.exit_code == 0, done.output
    [run] = read_runs(file.read_bytes())["DCP-034"]
    assert run.torch == importlib.metadata.version("torch").partition("+")[0]
    assert run.shows
    assert run.said.startswith("wrong: after a power cut .metadata may be ")


def test_a_script_that_says_nothing_is_no_run() -> None:
    """Neither "shows" nor "is gone" is noted of a script that does not say which; the runs of the other scripts are kept."""
    silent = replace(ENTRIES[0], reproducer="__init__.py")
    plain = next(entry for entry in ENTRIES if entry.id == "DCP-034")
    (_, odd), (after, run) = run_scripts([silent, plain], sys.executable, "1.0")
    assert str(odd).startswith("__init__.py failed with ")
    assert (after, isinstance(run, Run)) == (plain, True)


@pytest.fixture
def silent_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of two shipped findings, the script of the first says nothing."""
    second = next(entry for entry in ENTRIES if entry.id == "DCP-034")
    register = Register([replace(ENTRIES[0], reproducer="__init__.py"), second])
    monkeypatch.setattr(Register, "shipped", classmethod(lambda cls: register))


@pytest.mark.usefixtures("silent_first")
def test_the_command_keeps_what_other_scripts_showed(tmp_path: Path) -> None:
    """It names the script that gave no answer, and exits with the status of no verdict."""
    file = tmp_path / "runs.toml"
    done = CliRunner().invoke(main, ["findings", "--run", str(file)], env={"COLUMNS": "500"})
    assert done.exit_code == 3, done.output
    assert f"    {ENTRIES[0].id}: no answer: __init__.py failed with " in done.stdout
    assert list(read_runs(file.read_bytes())) == ["DCP-034"]


@pytest.mark.usefixtures("silent_first")
def test_an_interrupted_run_keeps_what_was_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With exit status 130."""
    real = runs.run_scripts

    def interrupted(*args: Any) -> Iterator[Any]:
        for answer in real(*args):
            if isinstance(answer[1], Run):
                os.kill(os.getpid(), signal.SIGINT)
            yield answer

    monkeypatch.setattr(runs, "run_scripts", interrupted)
    file = tmp_path / "runs.toml"
    done = CliRunner().invoke(main, ["findings", "--run", str(file)])
    assert done.exit_code == 130, done.output
    assert "has the runs of the scripts that ended." in done.stderr
    assert list(read_runs(file.read_bytes())) == ["DCP-034"]


NO_RUNS = (
    b"\xff",
    b"[x",
    b"a = 1",
    b'[A-1."2.0"]\nfoo = 1',
    b"[A-1]\nshows = true",
    b'[A-1."2.0"]\ndate = 2026-01-01\nshows = 3\nsaid = "wrong: x"',
)


@pytest.mark.parametrize("content", NO_RUNS, ids=str)
def test_a_file_that_holds_no_runs_is_a_usage_error(content: bytes) -> None:
    """One line says what is wrong."""
    with pytest.raises(UsageError, match="the file of --run holds no runs: ") as refused:
        read_runs(content)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--python", sys.executable], "--python is for --run only"),
        (["--run", "{tmp}/runs.toml", "--python", "nowhere/python"], "--python 'nowhere/python' does not run"),
        (["--run", "{tmp}/runs.toml", "--python", "echo"], "--python 'echo' does not run: JSONDecodeError"),
        (["--run", "{tmp}/runs.toml", "--write", "{tmp}/page.md"], "--run cannot be combined with --write"),
    ],
)
def test_wrong_options_are_usage_errors(arguments: list[str], complaint: str, tmp_path: Path) -> None:
    """The command ends with 2 before anything runs."""
    done = CliRunner().invoke(main, ["findings", *(argument.format(tmp=tmp_path) for argument in arguments)])
    assert (done.exit_code, complaint in done.output) == (2, True), done.output
