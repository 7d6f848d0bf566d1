"""The engines page: what every oracle said of each engine, from reports that were written elsewhere."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import ckpt_harness
from ckpt_harness.cli import main
from ckpt_harness.report.engines import render

DOCS = Path(ckpt_harness.__file__).parents[2] / "docs"
REPORT = {
    "engine": "mine", "torch": "2.13.0", "cases": 7, "crashes": 3, "damages": 2, "claims": {"collectives": "holds"},
    "oracles": {"bounded": {"HOLDS": 5, "known": 1, "VIOLATED": 1}, "integrity": {"not claimed": 2}}, "known": ["DCP-001"], "wrong": ["it hangs"],
}  # fmt: skip


def test_a_report_is_a_row_of_each_table() -> None:
    """Counts by verdict; what is known, what is not claimed, what counts; and what is wrong in full."""
    page = render([REPORT])
    assert "| mine | 2.13.0 | 7 + 3 crashes + 2 damaged | 5 1\u202fk **1\u202fX** |" in page
    assert "2\u202fn" in page
    assert "| mine | DCP-001 |" in page
    assert "it hangs" in page.partition("What counts against mine")[2]


def test_the_page_is_made_of_the_reports_beside_it() -> None:
    """To the letter, in the order of their names."""
    reports = [json.loads(path.read_text("utf-8")) for path in sorted((DOCS / "engines").glob("*.json"))]
    assert reports
    assert (DOCS / "ENGINES.md").read_text("utf-8") == render(reports)


@pytest.mark.parametrize("words", [["--write", "page.md"], [__file__]])
def test_a_page_without_reports_or_the_reverse_is_refused(words: list[str]) -> None:
    """With how it is done."""
    result = CliRunner().invoke(main, ["engines", *words])
    assert result.exit_code == 2
    assert "engines --write FILE REPORT..." in result.output
