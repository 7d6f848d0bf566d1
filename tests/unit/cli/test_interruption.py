"""Ctrl-C, and files that cannot be written to the end."""

from __future__ import annotations

import json
import os
import resource
import shlex
import signal
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from ckpt_harness.campaigns.crashes import Crashes, Point
from ckpt_harness.campaigns.readers import Readers, shown
from ckpt_harness.campaigns.recording import Scene
from ckpt_harness.campaigns.run_cases import run_all
from ckpt_harness.cli import main
from ckpt_harness.cli.files import whole_lines, write_text
from ckpt_harness.errors import UsageError
from ckpt_harness.findings.register import Register
from ckpt_harness.worlds.interruption import interruptible, only_waiting

pytestmark = pytest.mark.usefixtures("silence")


def _run(line: str) -> Result:
    return CliRunner().invoke(main, shlex.split(line), env={"COLUMNS": "200"})


def _ctrl_c() -> None:
    os.kill(os.getpid(), signal.SIGINT)


def test_ctrl_c_waits_for_a_safe_point() -> None:
    """The work goes on until it checks; then it ends."""
    before = signal.getsignal(signal.SIGINT)
    reached = []
    with pytest.raises(KeyboardInterrupt), interruptible() as interruption:
        _ctrl_c()
        reached.append("the end of the case")
        interruption.check()
        reached.append("the next case")
    assert reached == ["the end of the case"]
    assert signal.getsignal(signal.SIGINT) == before


def test_ctrl_c_interrupts_at_once_where_the_process_only_waits() -> None:
    """During the wait, and at its begin if Ctrl-C came before. Outside of such a wait, it is deferred again."""
    with pytest.raises(KeyboardInterrupt), interruptible(), only_waiting():
        _ctrl_c()
        pytest.fail("still waiting")
    reached = []
    with pytest.raises(KeyboardInterrupt), interruptible():
        with only_waiting():
            reached.append("waited")
        _ctrl_c()
        reached.append("the end of the case")
        with only_waiting():
            pytest.fail("waited again")
    assert reached == ["waited", "the end of the case"]
    with only_waiting():
        reached.append("nothing defers Ctrl-C here")


def test_a_second_ctrl_c_does_not_wait() -> None:
    """It interrupts at once."""
    with pytest.raises(KeyboardInterrupt), interruptible():
        _ctrl_c()
        _ctrl_c()
        pytest.fail("still running")


def test_an_error_after_ctrl_c_is_the_interruption() -> None:
    """What breaks because of Ctrl-C is no error of the harness."""
    with pytest.raises(KeyboardInterrupt), interruptible():
        _ctrl_c()
        raise RuntimeError("release unlocked lock")


def test_an_interrupted_sweep_sums_up_what_ran(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With exit status 130; its JSON lines are about the same cases."""
    def interrupted(*args: Any) -> Iterator[Any]:
        for number, record in enumerate(run_all(*args)):
            if number == 3:
                _ctrl_c()
            yield record

    monkeypatch.setattr("ckpt_harness.campaigns.run_cases.run_all", lambda *args: (record for record in interrupted(*args)))
    lines = tmp_path / "cases.jsonl"
    result = _run(f"sweep --ranks 1 --op load --workload replicated --jobs 1 --json {lines}")
    assert result.exit_code == 130, result.output
    assert "Interrupted after 3 of " in result.output
    assert "coverage" in result.output
    assert len([json.loads(line) for line in lines.read_text("utf-8").splitlines()]) == 3


def test_an_interrupted_check_reports_what_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    """With exit status 130, too."""
    def interrupted(*args: Any, **options: Any) -> Any:
        _ctrl_c()

    monkeypatch.setattr("ckpt_harness.conformance.check.plan_sweep", lambda sweep, rig: ([], None))
    monkeypatch.setattr("ckpt_harness.conformance.check._other_calls", lambda *args: iter(()))
    monkeypatch.setattr("ckpt_harness.conformance.check.crashes", interrupted)
    monkeypatch.setattr("ckpt_harness.conformance.tally.Tally.add_crashes", lambda *args: None)
    result = _run("check filesystem --jobs 1")
    assert result.exit_code == 130, result.output
    assert "Interrupted: the report is about what ran until then." in result.output


def test_an_interrupted_crash_reports_the_points_that_were_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With exit status 130. What was not looked at is no broken claim: the point after the whole save is missing."""
    take = Readers._take

    def interrupted(readers: Readers, results: Iterator[Any], progress: Callable[[int], None]) -> None:
        first = next(results)
        _ctrl_c()
        take(readers, iter([first]), progress)

    monkeypatch.setattr(Readers, "_take", interrupted)
    found = tmp_path / "crashes.json"
    result = _run(f"crash --engine filesystem --model posix --jobs 1 --json {found}")
    assert result.exit_code == 130, result.output
    assert "Interrupted: the summary is about the points whose states were all loaded." in result.output
    assert "different states loaded, interrupted" in result.output
    crashes = json.loads(found.read_text("utf-8"))
    assert crashes["interrupted"]
    assert len(crashes["points"]) > 0
    assert crashes["points"][-1]["after"] < 15
    assert not any("was reported as saved" in broken["claim"] for broken in crashes["violated"])


def test_the_last_point_that_was_judged_is_not_the_end_of_an_interrupted_save() -> None:
    """A finding about crashes during the save (DCP-032) describes that point; findings about a reported success do not."""
    point = Point(7, None, {"mixture": 1}, possible=1, exhaustive=True, moment="in write")
    crashes = Crashes(Scene("filesystem", overwrite=True), "kill", (point,), examples=(), judged=1, interrupted=True)
    assert crashes.known(Register.shipped()) == {"mixture": "DCP-032"}


def test_an_interrupted_damage_reports_what_was_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """With exit status 130, and at the next safe point: after the checkpoint that is being loaded."""
    def interrupted(*args: Any) -> Any:
        _ctrl_c()
        return shown(*args)

    monkeypatch.setattr("ckpt_harness.campaigns.damage.shown", interrupted)
    result = _run("damage --ranks 1")
    assert result.exit_code == 130, result.output
    assert "1 damaged checkpoint loaded" in result.output
    assert "Interrupted: the summary is about the damaged checkpoints that were loaded." in result.output


def test_a_full_disk_leaves_whole_lines(tmp_path: Path) -> None:
    """The line that does not fit is taken back, and the error is one line."""
    file = tmp_path / "cases.jsonl"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(UsageError, match="cannot be written: File too large"), whole_lines(file) as write:
            for _ in range(10):
                write("x" * 29)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert file.read_text("ascii") == ("x" * 29 + "\n") * 3


def test_a_document_that_does_not_fit_is_a_usage_error(tmp_path: Path) -> None:
    """In one line, as for every file that a command writes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        with pytest.raises(UsageError, match="cannot be written: File too large"):
            write_text(tmp_path / "page.md", "x" * 200)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_an_error_of_the_run_is_not_blamed_on_its_file(tmp_path: Path) -> None:
    """Only writing is."""
    with pytest.raises(ConnectionResetError), whole_lines(tmp_path / "x"):
        raise ConnectionResetError
