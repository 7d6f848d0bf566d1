"""What an engine prints does not disturb reports: it is shown with the cases that count against the run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ckpt_harness.campaigns import sweep
from ckpt_harness.cli import main
from ckpt_harness.conformance import check

pytestmark = pytest.mark.usefixtures("silence")
ENGINES = Path(__file__).with_name("chatty_engine.py")
CHATTY = f"{ENGINES}:CHATTY"
AFRESH = "| CHATTER: cannot resume, starting afresh"


def _run(*words: str) -> Result:
    return CliRunner().invoke(main, words, env={"COLUMNS": "1000"})


def _chatter(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if "CHATTER" in line]


def test_a_sweep_shows_it_with_each_way_to_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    """And its JSON lines hold it, for cases that count against the run only."""
    plan = sweep.plan_sweep
    monkeypatch.setattr(sweep, "plan_sweep", lambda wanted, rig: (plan(wanted, rig)[0][::40], None))
    lines = tmp_path / "cases.jsonl"
    words = ["--ranks", "2", "--op", "load", "--workload", "replicated", "--jobs", "1", "--engine", CHATTY, "--json", str(lines)]
    result = _run("sweep", *words)
    assert result.exit_code == 1, result.output
    assert AFRESH in _chatter(result.stdout)
    assert {line[:11] for line in _chatter(result.stdout)} == {"| CHATTER: "}
    assert _chatter(result.stderr) == []
    assert tuple(capfd.readouterr()) == ("", "")
    records = [json.loads(line) for line in lines.read_text("utf-8").splitlines()]
    assert {bool(record["printed"]) for record in records if record["verdict"] == "VIOLATED"} == {True}
    assert {record["printed"] for record in records if record["verdict"] == "HOLDS"} == {""}


def test_a_story_shows_it() -> None:
    """Of the case alone, without what its preparation printed."""
    result = _run("replay", "reader.read_data@1=raise", "--op", "load", "--workload", "replicated", "--engine", CHATTY)
    assert sorted(_chatter(result.stdout)) == [AFRESH, AFRESH, "| CHATTER: loading", "| CHATTER: loading"]
    assert _chatter(result.stderr) == []


def test_damage_and_crashes_show_it_with_what_is_wrong() -> None:
    """With the examples: of a crash, what a load of the first state printed that is no whole checkpoint."""
    damaged = _run("damage", "--ranks", "1", "--workload", "replicated", "--engine", CHATTY)
    assert "VIOLATED: a missing file is noticed" in damaged.stdout
    assert AFRESH in _chatter(damaged.stdout)
    assert {line[:11] for line in _chatter(damaged.stdout)} == {"| CHATTER: "}
    crashed = _run("crash", "--ranks", "1", "--model", "kill", "--workload", "replicated", "--jobs", "1", "--engine", CHATTY)
    assert AFRESH in _chatter(crashed.stdout)
    assert {line[:11] for line in _chatter(crashed.stdout)} == {"| CHATTER: "}


def test_a_check_shows_it_with_the_example_of_a_cause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Before the line that replays the example."""
    monkeypatch.setattr(check, "MODELS", ("kill",))
    monkeypatch.setattr(check, "_sweeps", lambda name, _, sizes: [sweep.Sweep(("load",), sizes, engine=name, workload="replicated")])
    result = _run("check", CHATTY, "--every", "100", "--jobs", "1")
    assert result.exit_code == 1, result.output
    assert AFRESH in _chatter(result.stdout)
    assert {line[:11] for line in _chatter(result.stdout)} == {"| CHATTER: "}


def test_the_story_of_a_job_comes_after_it() -> None:
    """All that the operations printed."""
    result = _run("job", "save a; load a", "--ranks", "1", "--workload", "replicated", "--engine", CHATTY)
    assert result.exit_code == 0, result.output
    assert "| CHATTER: making a writer" in _chatter(result.stdout)
    assert {line[:11] for line in _chatter(result.stdout)} == {"| CHATTER: "}
    assert _chatter(result.stderr) == []


def test_a_script_is_a_script() -> None:
    """``export`` and ``engines`` print nothing of an engine's."""
    result = _run("export", "writer.write_data@1=raise", "--engine", CHATTY)
    assert (result.exit_code, result.stdout) == (2, "")


def test_an_engine_that_cannot_save_may_say_why() -> None:
    """What it printed comes before the error, on stderr."""
    result = _run("replay", "", "--engine", f"{ENGINES}:UNABLE")
    assert result.exit_code == 3
    assert result.stdout == ""
    assert "CHATTER: no credentials" in _chatter(result.stderr)
    assert "cannot save with no fault: rank 0: raised RuntimeError(cannot connect)" in result.stderr
