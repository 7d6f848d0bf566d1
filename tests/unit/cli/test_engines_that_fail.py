"""Engines that fail with no fault, or whose hooks raise: never success, never silence, and the name of what failed."""

from __future__ import annotations

import shlex

import pytest
from click.testing import CliRunner, Result

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.cli import main
from ckpt_harness.engines.names import find_engine
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.judging.verdict import Verdict

pytestmark = pytest.mark.usefixtures("silence")

_BAD = "tests/unit/cli/bad_engines.py"
_COMMANDS = ("replay '' --engine", "sweep --ranks 2 --jobs 1 --engine", "crash --jobs 1 --engine", "damage --engine", "check --jobs 1")


def _run(line: str) -> Result:
    return CliRunner().invoke(main, shlex.split(line), env={"COLUMNS": "200"})


@pytest.mark.parametrize("command", _COMMANDS)
def test_an_engine_that_cannot_save_gets_one_line_and_status_3(command: str) -> None:
    """From every command; its violations would say nothing."""
    result = _run(f"{command} {_BAD}:CANNOT_SAVE")
    assert result.exit_code == 3, result.output
    (line,) = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert line.startswith(f"Error: engine '{_BAD}:CANNOT_SAVE' cannot save with no fault: rank 0: ")
    assert line.endswith("ValueError(no such bucket); and 1 more rank")


@pytest.mark.parametrize(("command", "hook"), [(command, hook) for command in _COMMANDS for hook in ("fingerprint", "place")])
def test_a_hook_that_leaves_before_anything_ran_gets_one_line_and_status_3(command: str, hook: str) -> None:
    """The line names the hook and its error; crash and damage do not call every hook."""
    if hook == "fingerprint" and command.startswith(("crash", "damage")):
        pytest.skip(f"{command.split(maxsplit=1)[0]} does not call {hook}")
    result = _run(f"{command} {_BAD}:{hook.upper()}")
    assert result.exit_code == 3, result.output
    assert f"{hook} raised: SystemExit: 0" in result.output


@pytest.mark.parametrize(("hook", "error"), [("committed", "RuntimeError: no network"), ("flaws", "RuntimeError: no network"), ("discard", "SystemExit: 0")])
def test_a_hook_that_raises_makes_its_case_unknown(hook: str, error: str) -> None:
    """With the name of the hook; the rig goes on with other cases."""
    with Rig() as rig:
        results = [rig.run(Case(FaultPlan(), "save", 2, engine=f"{_BAD}:{hook.upper()}")) for _ in range(2)]
        after = rig.run(Case(FaultPlan(), "save", 2))
    assert [result.verdict for result in results] == [Verdict.UNKNOWN, Verdict.UNKNOWN]
    assert f"{hook} raised: {error}" in results[0].explain()
    assert after.verdict is Verdict.HOLDS


def test_a_replay_of_a_hook_that_raises_ends_with_status_3() -> None:
    """Its story is told; what is unknown is not success."""
    result = _run(f"replay '' --engine {_BAD}:COMMITTED")
    assert result.exit_code == 3, result.output
    assert "verdict UNKNOWN" in result.output


def test_capabilities_of_the_class_count_like_those_of_the_instance() -> None:
    """A subclass may claim by a class attribute."""
    assert find_engine(f"{_BAD}:OF_CLASS").capabilities == {Capability.COMMIT_MARKER}


def test_a_conformance_class_stands_for_its_engine() -> None:
    """As its attribute ``engine`` does."""
    assert find_engine("tests/unit/cli/conforming.py:Conforming") is find_engine("tests/unit/cli/conforming.py:Conforming.engine")


def test_an_error_of_the_harness_itself_ends_with_status_70(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a traceback, and a line that says whose bug it is."""
    monkeypatch.setattr("ckpt_harness.cases.rig.Rig.run", lambda rig, case: 1 / 0)
    result = _run("replay ''")
    assert result.exit_code == 70
    assert "ZeroDivisionError" in result.output
    assert "this is a bug of ckpt-harness" in result.output


def test_code_of_an_engine_that_leaves_in_a_command_never_means_success(monkeypatch: pytest.MonkeyPatch) -> None:
    """``sys.exit(0)`` anywhere in code of the user is no verdict."""
    def leave(rig: Rig, case: Case) -> None:
        raise SystemExit(0)

    monkeypatch.setattr("ckpt_harness.cases.rig.Rig.run", leave)
    result = _run("replay ''")
    assert result.exit_code == 3
    assert "called sys.exit(0)" in result.output


def test_an_interruption_ends_with_status_130(monkeypatch: pytest.MonkeyPatch) -> None:
    """As a shell reports Ctrl-C."""
    def interrupt(rig: Rig, case: Case) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("ckpt_harness.cases.rig.Rig.run", interrupt)
    result = _run("replay ''")
    assert result.exit_code == 130
    assert "Interrupted." in result.output
