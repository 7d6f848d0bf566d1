"""What the commands print keeps its text, on narrow terminals, in pipes and in encodings with few characters; long work shows progress."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pytest
from click.testing import CliRunner

from ckpt_harness.campaigns import sweep
from ckpt_harness.cli import main
from ckpt_harness.cli.console import progress_of
from ckpt_harness.conformance import check
from ckpt_harness.findings.page import EXAMPLE
from ckpt_harness.report import track_record

pytestmark = pytest.mark.usefixtures("silence")
BOASTFUL = f"{Path(__file__).parents[2] / 'integration' / 'boastful_engine.py'}:BOASTFUL"
TRAINER = "import pathlib, sys; directory = pathlib.Path(sys.argv[1]); directory.mkdir(exist_ok=True); (directory / 'result').write_text('1')"
COMMANDS = {
    "sweep": ["--ranks", "1", "--op", "load", "--jobs", "1"],
    "replay": ["writer.write_data@1=raise(unicode)"],
    "fuzz": ["--examples", "3", "--seed", "1", "--ranks", "2", "--workload", "replicated", "--operations", "4", "--faults", "0", "--jobs", "1"],
    "job": ["save a; load a", "--faults", "save[1]/finish@0=raise(unicode)", "--ranks", "1"],
    "export": ["writer.write_data@1=raise(unicode)"],
    "crash": ["--ranks", "1", "--model", "kill", "--jobs", "1"],
    "damage": ["--ranks", "1"],
    "check": [BOASTFUL, "--ranks", "2", "--every", "1000", "--jobs", "1"],
    "engines": [],
    "findings": [],
    "sites": [],
    "effects": [],
    "track-record": [],
    "across": ["--ranks", "1", "--workload", "replicated"],
    "drill": ["--state", "of-nobody", "--result", "of-nobody/result", "--sample", "2", "--", sys.executable, "-c", TRAINER, "of-nobody"],
}
WIDE = {"COLUMNS": "1000"}
ENVIRONMENTS = {
    "no width": ({"COLUMNS": None}, "utf-8"),
    "a width of 0": ({"COLUMNS": "0"}, "utf-8"),
    "30 columns": ({"COLUMNS": "30"}, "utf-8"),
    "ASCII": (WIDE, "ascii"),
}


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Campaigns run a part of their cases."""
    reports, plan = track_record.reports()[:2], sweep.plan_sweep
    monkeypatch.setattr(track_record, "reports", lambda: reports)
    monkeypatch.setattr(sweep, "plan_sweep", lambda wanted, rig: (plan(wanted, rig)[0][::20], None))
    monkeypatch.setattr(check, "MODELS", ("kill",))
    monkeypatch.setattr(check, "_sweeps", lambda name, _, sizes: [sweep.Sweep(("save",), sizes, engine=name)])


@pytest.fixture(scope="module")
def printed() -> dict[str, str]:
    """Command -> what it prints on a wide terminal; filled by the tests."""
    return {}


def _run(command: str, env: Mapping[str, str | None], charset: str) -> str:
    result = CliRunner(charset=charset).invoke(main, [command, *COMMANDS[command]], env=env)
    assert result.exit_code in (0, 1), result.output
    return result.stdout


def _words(text: str) -> Counter[str]:
    """The words of a text; durations differ between two runs."""
    escaped = text.encode("ascii", "backslashreplace").decode("ascii")
    return Counter(re.sub(r"[0-9]+\.[0-9] s", "DURATION", escaped).split())


def test_the_commands_are_all_here() -> None:
    """A new command is tried too."""
    assert COMMANDS.keys() == main.commands.keys()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
@pytest.mark.parametrize("command", COMMANDS)
def test_no_word_is_lost_or_torn(command: str, environment: str, few: None, printed: dict[str, str]) -> None:
    """The words are those of a wide terminal, characters that the encoding does not have as escapes, and no line to paste is broken."""
    if command not in printed:
        printed[command] = _run(command, WIDE, "utf-8")
    env, charset = ENVIRONMENTS[environment]
    text = _run(command, env, charset)
    assert _words(text) == _words(printed[command])
    to_paste = re.compile(r"^ *(?:again )?ckpt-harness .*$", re.MULTILINE)
    escaped = printed[command].encode(charset, "backslashreplace").decode(charset)
    assert to_paste.findall(text) == to_paste.findall(escaped)


def test_a_title_in_brackets_is_text(tmp_path: Path) -> None:
    """Neither markup nor an emoji, and no error; so is the path of an engine."""
    title = "[/x] a list [of x] :sos:"
    register = tmp_path / "known.toml"
    register.write_text(EXAMPLE.replace("An error of the upload is raised on its own rank only", title), "utf-8")
    assert title in CliRunner().invoke(main, ["findings", "--register", str(register)], env=WIDE).output
    engine = tmp_path / "[/x]" / "engine.py"
    engine.parent.mkdir(parents=True)
    engine.write_text("from ckpt_harness.engines.filesystem import FileSystemEngine\nENGINE = FileSystemEngine('mine', 'for a test')\n", "utf-8")
    result = CliRunner().invoke(main, ["crash", "--ranks", "1", "--model", "kill", "--jobs", "1", "--engine", f"{engine}:ENGINE"], env=WIDE)
    assert result.output.splitlines()[0].endswith(f"engine {engine}:ENGINE, seed 0"), result.output


def test_a_process_prints_what_its_encoding_cannot_hold_as_escapes() -> None:
    """With PYTHONIOENCODING=ascii, into a pipe."""
    words = [sys.executable, "-m", "ckpt_harness", "replay", "writer.write_data@1=raise(unicode)"]
    env = {**os.environ, "PYTHONIOENCODING": "ascii", "COLUMNS": "0"}
    done = subprocess.run(words, env=env, capture_output=True, text=True, encoding="ascii", timeout=250, check=False)
    assert done.returncode == 0, done.stderr
    assert r"\u2014 Plattenspeicher voll: \u78c1" in done.stdout


def test_long_work_shows_a_line_every_ten_seconds(capsys: pytest.CaptureFixture[str]) -> None:
    """Where stderr is no terminal, and not more often."""
    now = 0.0
    with progress_of("failing every cell", clock=lambda: now) as progress:
        for done in range(1, 36):
            now = float(done)
            progress(done, 35)
    assert capsys.readouterr().err.splitlines() == [f"failing every cell: {done} of 35" for done in (10, 20, 30)]


def test_short_work_shows_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Less than ten seconds need no progress."""
    with progress_of("failing every cell", clock=lambda: 9.9) as progress:
        progress(1, 2)
        progress(2, 2)
    assert capsys.readouterr().err == ""
