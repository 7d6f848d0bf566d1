"""Canaries: a known broken engine must turn the run red. Otherwise no other result means anything."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import bugs_reported
import bugs_stored
import pytest
from click.testing import CliRunner
from hunting import hunt
from planting import planted

from ckpt_harness.campaigns.sweep import Sweep
from ckpt_harness.cases.rig import Rig
from ckpt_harness.cli import main
from ckpt_harness.judging import oracles
from ckpt_harness.judging.evidence import Evidence
from ckpt_harness.judging.verdict import Judgement, Verdict

pytestmark = pytest.mark.usefixtures("silence")

LOUD = next(bug for bug in bugs_reported.BUGS if bug.name == "a failed write is reported on the coordinator only")
BROKEN = next(bug for bug in bugs_stored.BUGS if bug.name == "the written items are missing from the metadata")


def test_oracles_that_pass_everything_find_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """With oracles that always pass, a planted bug is not found: it is the oracles that find bugs."""

    def content(evidence: Evidence) -> list[Judgement]:
        return [Judgement("content", Verdict.HOLDS)]

    for name in oracles.ORACLES:
        monkeypatch.setitem(oracles.ORACLES, name, content)
    with Rig() as sound:
        assert hunt(replace(BROKEN, search=Sweep(("save",), (1,), workload="replicated")), sound) is None


@pytest.mark.parametrize("blind", ["agreement", "attribution"])
def test_other_oracles_find_the_bug_without_one_oracle(blind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With one oracle switched off, other oracles still find a bug that shows in several ways."""
    monkeypatch.setitem(oracles.ORACLES, blind, lambda evidence: [])
    with Rig() as sound:
        caught = hunt(LOUD, sound)
    assert caught is not None
    assert blind not in caught.oracles


def test_a_broken_engine_turns_the_run_red(tmp_path: Path) -> None:
    """A sweep of an engine that loses saved items ends with exit status 1, prints the violation with a replay line, and writes it to the JSON file."""
    lines = tmp_path / "records.jsonl"
    words = ["sweep", "--ranks", "1", "--op", "save", "--workload", "replicated", "--jobs", "1", "--json", str(lines)]
    with planted(BROKEN.edits):
        result = CliRunner().invoke(main, words, env={"COLUMNS": "200"})
    assert result.exit_code == 1, result.output
    assert "VIOLATED no fault at all" in result.output
    assert "ckpt-harness replay '' --op save --ranks 1 --workload replicated" in result.output
    assert json.loads(lines.read_text("utf-8").splitlines()[0])["verdict"] == "VIOLATED"
