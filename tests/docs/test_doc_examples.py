"""Every example of the README and of the pages below docs/ runs, and prints what the page shows.

A ``console`` block is a session: its commands run one after the other, in one directory for each page, and print what is shown below them. A ``python`` block
is a whole script, or a test file if it has a test; unless the comment before it names the file that it quotes.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

import pytest
from doc_pages import PAGES, ROOT, Block, blocks, commands, every_block, name, pattern
from torch.distributed.checkpoint import CheckpointException, FileSystemWriter

import ckpt_harness
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.errors import OracleViolation
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.findings.register import Register
from ckpt_harness.judging.verdict import Verdict

LIMIT = 240
"""Seconds that one command may take on a machine that runs other tests beside it."""
_PROGRAMS = {
    "python": "",
    "ckpt-harness": "-m ckpt_harness",
    "pytest": "-m pytest -p no:cacheprovider",
    "torchrun": "-m torch.distributed.run",
}

SESSIONS = [page for page in PAGES if any(block.language == "console" for block in blocks(page))]
CODE = every_block("python")
STANDALONE = [block for block in CODE if block.comment == ""]


@pytest.fixture
def shell(tmp_path: Path) -> Path:
    """A directory to work in, beside one with the programs of this environment."""
    programs = tmp_path / "bin"
    programs.mkdir()
    for program, how in _PROGRAMS.items():
        file = programs / program
        file.write_text(f'#!/bin/sh\nexec "{sys.executable}" {how} "$@"\n', "utf-8")
        file.chmod(0o755)
    place = tmp_path / "work"
    place.mkdir()
    return place


_PROGRESS = re.compile(r"^[a-z ]+: [0-9]+ of [0-9]+\n", re.MULTILINE)
"""A line about long work; none appears on a fast machine."""


def _run(command: str, place: Path) -> subprocess.CompletedProcess[str]:
    """Runs one shell line as a user would, and returns what a terminal shows of it."""
    plain = {key: value for key, value in os.environ.items() if not key.startswith(("CKPT_HARNESS", "PYTEST", "COV_", "OMP_"))}
    harness = str(Path(ckpt_harness.__file__).parents[1])
    more = {
        "PATH": f"{place.parent / 'bin'}{os.pathsep}{plain['PATH']}",
        "PYTHONPATH": harness,
        "COLUMNS": "160",
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    return subprocess.run(
        ["bash", "-c", command],
        cwd=place,
        env=plain | more,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=LIMIT,
        check=False,
    )


def _prepare(page: Path, place: Path) -> None:
    """Copies the files that a page begins with; its comment ``files: FOLDER [-> FOLDER]`` at the top names them, and where they go."""
    for origin, below in re.findall(r"^<!-- files: (\S+)(?: -> (\S+))? -->$", page.read_text("utf-8"), re.MULTILINE):
        shutil.copytree(ROOT / origin, place / below, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))


@pytest.mark.parametrize("page", SESSIONS, ids=name)
def test_every_session_shows_what_its_commands_print(page: Path, shell: Path) -> None:
    """To the letter, but for what the page leaves out with "..."."""
    _prepare(page, shell)
    for block in blocks(page):
        for command in commands(block) if block.language == "console" else ():
            output = _PROGRESS.sub("", _run(command.line, shell).stdout)
            assert pattern(command.shown).fullmatch(output.rstrip("\n") + "\n"), f"{block}: $ {command.line}\nprints\n{output}"


@pytest.mark.parametrize("block", STANDALONE, ids=str)
def test_every_python_block_runs(block: Block, shell: Path) -> None:
    """As it is pasted, and prints what the page says that it prints."""
    file = shell / "test_example.py"
    file.write_text(block.text, "utf-8")
    tests = "def test_" in block.text or "class Test" in block.text
    ran = _run(f"{'pytest -q --ckpt-profile quick' if tests else 'python'} {file.name} 2>errors", shell)
    errors = (shell / "errors").read_text("utf-8")
    assert ran.returncode == 0, ran.stdout + errors
    after = blocks(block.page)
    following = after[after.index(block) + 1 :][:1]
    if following and following[0].comment == "output":
        assert pattern(following[0].text).fullmatch(ran.stdout), ran.stdout


def test_the_readme_shows_a_violation_as_it_is_printed(silence: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The complaints and the replay line of the case that it names."""
    monkeypatch.chdir(ROOT)
    with Rig() as rig:
        result = rig.run(Case(FaultPlan.parse("writer.finish@0=raise"), "save", ranks=2, engine="tests/plugin/broken_engines.py:SECRETIVE"))
    readme = (ROOT / "README.md").read_text("utf-8")
    assert [line for line in (*result.complaints(), result.case.replay_line()) if f"    {line}\n" not in readme] == []


def test_the_page_on_adopting_shows_the_message_of_a_wrong_rank() -> None:
    """An exception that names rank 0, where the fault was on rank 1."""
    blamed = CheckpointException("write", {0: (OSError(28, "No space left on device"), traceback.StackSummary())})
    with pytest.raises(OracleViolation) as caught:
        ckpt_harness.assert_propagated(blamed, "writer.write_data@1=raise(OSError:ENOSPC)")
    assert f"ckpt_harness.errors.OracleViolation: {caught.value}\n" in (ROOT / "docs/how-to/adopt.md").read_text("utf-8")


def test_the_register_of_the_page_on_wrapped_errors_asks_for_the_reason(silence: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrapper that quotes the original error is known; a wrapper that loses the error is a violation."""
    folder = ROOT / "docs/examples/wrapped"
    register = Register.shipped() + Register.read(folder / "known.toml")
    case = Case(FaultPlan.parse("fs.write@1=diskerror(ENOSPC)"), engine=f"{folder / 'uploads.py'}:ENGINE")
    with Rig(register=register) as rig:
        assert rig.run(case).known == ("UPLOADS-1",)
        uploads = sys.modules["_engine_in_uploads"]

        def write_data(writer: FileSystemWriter, *args: Any) -> Any:
            try:
                return FileSystemWriter.write_data(writer, *args)
            except OSError:
                raise uploads.UploadError("upload failed") from None

        monkeypatch.setattr(uploads.UploadingWriter, "write_data", write_data)
        assert rig.run(case).verdict is Verdict.VIOLATED
