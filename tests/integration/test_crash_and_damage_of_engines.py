"""``crash`` and ``damage`` with every engine that ships with the harness: each is run with a state that it can store, or refused in one line."""

from __future__ import annotations

import re

import pytest
from click.testing import CliRunner, Result

from ckpt_harness.cli import main
from ckpt_harness.engines.names import BUILT_IN

pytestmark = pytest.mark.usefixtures("silence")
_PROGRESS = re.compile(r"^[a-z ]+: [0-9]+ of [0-9]+\n", re.MULTILINE)
"""A line about work that takes longer than ten seconds, as on a busy machine."""
NOT_DAMAGED = {"filesystem-no-collectives", "fsspec-memory", "fsspec-s3"}
NOT_RECORDED = NOT_DAMAGED | {"huggingface", "huggingface-consolidated", "huggingface-quantized"}


def _run(*words: str) -> Result:
    return CliRunner().invoke(main, words, env={"COLUMNS": "200"})


def _refusals(result: Result) -> list[str]:
    return [line for line in result.output.splitlines() if line.startswith("Error: ")]


@pytest.mark.parametrize("engine", BUILT_IN)
@pytest.mark.parametrize(("line", "refused"), [("damage", NOT_DAMAGED), ("crash --model kill --jobs 1", NOT_RECORDED)])
def test_an_engine_is_judged_or_refused(line: str, refused: set[str], engine: str) -> None:
    """No claim is violated, and nothing but progress is printed on stderr; or one line says why the engine is refused."""
    result = _run(*line.split(), "--ranks", "1", "--engine", engine)
    if engine in refused:
        [refusal] = _refusals(result)
        assert (result.exit_code, len(refusal) < 200) == (2, True), result.output
    else:
        assert result.exit_code == 0, result.output
        assert _PROGRESS.sub("", result.stderr) == ""


@pytest.mark.parametrize("command", ["crash", "damage"])
def test_a_workload_that_the_engine_cannot_store_is_refused(command: str) -> None:
    """In one line, with the workloads that the engine can store."""
    result = _run(command, "--engine", "filesystem-synced", "--workload", "quantized")
    assert result.exit_code == 2, result.output
    [line] = _refusals(result)
    assert "which engine 'filesystem-synced' cannot store; valid: replicated" in line


def test_the_workload_is_what_is_damaged() -> None:
    """The last line names it."""
    result = _run("damage", "--ranks", "1", "--workload", "objects")
    assert result.output.splitlines()[-1].startswith("engine filesystem, workload objects, 1 rank: ")
