"""``ckpt-harness across``: interpreters that save and load for each other, and interpreters that cannot."""

from __future__ import annotations

import contextlib
import json
import shlex
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ckpt_harness.campaigns.across.interpreters import Ended, Interpreter
from ckpt_harness.cli import main

pytestmark = pytest.mark.usefixtures("silence")

ENGINE = f"{Path(__file__).parent / 'two_releases.py'}:ENGINE"
UNNEEDED = ("click", "hypothesis", "jinja2", "pytest", "rich", "tomli")
"""What the harness depends on, and an interpreter of another torch does not need."""


def _run(*words: str) -> Result:
    return CliRunner().invoke(main, ["across", *words], env={"COLUMNS": "200"})


def _interpreter(folder: Path, program: str) -> str:
    """Writes a program that is called as an interpreter is."""
    file = folder / "python"
    file.write_text(program if program.startswith("#!") else f"#!{sys.executable}\n{program}\n", encoding="utf-8")
    file.chmod(0o755)
    return str(file)


def _newer(folder: Path) -> str:
    """This interpreter, with another engine in effect, and without the packages that the harness depends on."""
    return _interpreter(
        folder,
        f"""
import os, runpy, sys
os.environ["TRAIT"] = "newer"
sys.modules.update(dict.fromkeys({UNNEEDED}))
del sys.argv[0]
runpy.run_path(sys.argv[0], run_name="__main__")""",
    )


def test_a_torch_reads_what_it_saved_itself(tmp_path: Path) -> None:
    """Whole, with both numbers of ranks; the record says so."""
    file = tmp_path / "across.json"
    result = _run("--workload", "mixed", "--workload", "dtensor", "--load", sys.executable, "--json", str(file))
    assert result.exit_code == 0, result.output
    assert "2 whole; no violation." in result.output
    record = json.loads(file.read_text("utf-8"))
    assert record["ranks"] == [2, 1]
    assert [(pair["workload"], pair["ending"]) for pair in record["pairs"]] == [("mixed", "whole"), ("dtensor", "whole")]


def test_each_way_to_get_a_checkpoint_wrong_is_reported(tmp_path: Path) -> None:
    """A flipped bit, a dead interpreter, success on some ranks only and a hang exit with 1; a clear error is a refusal, and the way back is tried."""
    names = ("nested", "divergent", "objects", "stateful", "sharded", "replicated")
    file = tmp_path / "across.json"
    result = _run(
        *(word for name in names for word in ("--workload", name)),
        *("--engine", ENGINE, "--save", _newer(tmp_path), "--load", sys.executable, "--json", str(file)),
    )
    assert result.exit_code == 1, result.output
    record = json.loads(file.read_text("utf-8"))
    newer, older = (release["torch"] for release in record["releases"])
    assert (older, record["asked"]) == (f"{newer} #2", [[newer, older]])
    endings = {(pair["saved"], pair["loaded"], pair["workload"]): (pair["ending"], pair["why"]) for pair in record["pairs"]}
    for saved, loaded in ((older, older), (older, newer)):
        assert {endings[saved, loaded, name] for name in names} == {("whole", "")}
    backwards = {name: endings[newer, older, name] for name in names}
    assert backwards["nested"] == ("whole", "")
    assert backwards["divergent"] == ("refused", "ValueError: format 2 of <checkpoint> is too new")
    assert backwards["objects"] == ("divided", "with 2 ranks only: success on rank 1; elsewhere ValueError: format 2 is too new for rank 0")
    assert backwards["stateful"][0] == "hung"
    assert backwards["sharded"] == ("died", "exit status 7")
    assert backwards["replicated"][0] == endings[newer, newer, "replicated"][0] == "wrong"
    assert backwards["replicated"][1].startswith("rank 0: replicated: 1 of 5 elements, first ")
    assert "violate the claim that a checkpoint loads whole or is refused" in result.output


ANSWER = "import os, sys; os.write(int(sys.argv[2]), b'%s\\n')"


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("#!/bin/sh\necho 'no such library' >&2; exit 3\n", "is no working Python: exit status 3: no such library"),
        ("#!/bin/sh\nkill -9 $$\n", "is no working Python: ended by signal 9"),
        ("#!/bin/sh\necho hello\n", "is no working Python: exit status 0: hello"),
        ("#!/no/such/program\n", "is no working Python: No such file or directory"),
        (ANSWER % "nonsense", "is no working Python: it answered b'nonsense'"),
        (ANSWER % '{"python": "3.8.1"}', "is Python 3.8.1; valid: 3.10 or later"),
        (ANSWER % '{"python": "3.11.7", "torch": "2.5.1+cpu"}', "has torch 2.5.1+cpu; valid: 2.9 or later"),
        (f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -S "$@"\n', "has no torch: No module named 'torch'"),
    ],
)
def test_an_interpreter_that_cannot_be_used_is_refused_in_one_line(tmp_path: Path, program: str, words: str) -> None:
    """Before anything runs: exit status 2."""
    result = _run("--save", _interpreter(tmp_path, program))
    assert result.exit_code == 2, result.output
    (message,) = [line for line in result.output.splitlines() if line.startswith("Error: ")]
    assert words in message
    assert len(message) < 200


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--load", "no/such/python"], "interpreter 'no/such/python' does not exist"),
        (["--load", "no-such-python"], "interpreter 'no-such-python' is not on PATH"),
        (["--save", "/usr"], "interpreter '/usr' is a directory; valid: the path of a Python such as /usr/bin/python"),
        (["--engine", "filesystem-no-collectives"], "is for way 'no_collectives', and this command knows way 'together' only"),
        (["--engine", "fsspec-memory"], "keeps checkpoints outside of the file system"),
        (["--workload", "quantized"], "workload 'quantized' holds quantized tensors, which engine 'filesystem' cannot store"),
        (["--workload", "huge"], "unknown workload 'huge'"),
    ],
)
def test_a_usage_error_is_one_line(words: list[str], message: str) -> None:
    """With the value and what is valid; exit status 2."""
    result = _run(*words)
    assert result.exit_code == 2, result.output
    assert message in result.output.splitlines()[-1]


def test_an_interpreter_that_does_not_answer_is_ended(tmp_path: Path) -> None:
    """When its time is over."""
    program = _interpreter(tmp_path, "#!/bin/sh\nexec sleep 600\n")
    with contextlib.closing(Interpreter(program, limit=0.5)) as interpreter, pytest.raises(Ended, match=r"no answer within 0\.5 s"):
        list(interpreter.answers({"do": "look", "engine": "filesystem"}))


def test_no_interpreter_outlives_the_interest_in_its_answers(tmp_path: Path) -> None:
    """As after Ctrl-C: its process is gone."""
    program = _interpreter(tmp_path, "import os, sys, time; os.write(int(sys.argv[2]), b'{\"pid\": %d}\\n' % os.getpid()); time.sleep(600)")
    with contextlib.closing(Interpreter(program)) as interpreter:
        answers = interpreter.answers({"do": "look", "engine": "filesystem"})
        process = Path("/proc", str(next(answers)["pid"]))
        assert process.exists()
    assert not process.exists()
