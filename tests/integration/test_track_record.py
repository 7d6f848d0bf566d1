"""Every public report of the track record: its line shows today what the page says."""

from __future__ import annotations

import importlib.metadata
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

import ckpt_harness
from ckpt_harness.cases.result import CaseResult
from ckpt_harness.cases.rig import Rig
from ckpt_harness.cli import main
from ckpt_harness.cli.replay import case_of
from ckpt_harness.engines.names import find_engine
from ckpt_harness.errors import UsageError
from ckpt_harness.report.track_record import Report, render, reports, shown

PAGE = Path(ckpt_harness.__file__).parents[2] / "docs" / "TRACK_RECORD.md"
TORCH = importlib.metadata.version("torch").partition("+")[0]

pytestmark = [
    pytest.mark.usefixtures("silence"),
    pytest.mark.skipif(f"| torch {TORCH} |" not in PAGE.read_text("utf-8"), reason=f"the page was made with another torch than {TORCH}"),
]


@pytest.fixture(scope="module")
def rig() -> Iterator[Rig]:
    with Rig() as made:
        yield made


def _run(rig: Rig, words: list[str]) -> CaseResult:
    return rig.run(case_of(main.commands["replay"].make_context("replay", words).params))


def _able(report: Report) -> Report:
    """Skips a report whose engine needs a package that is not there."""
    words = shlex.split(report.line)
    try:
        find_engine(words[words.index("--engine") + 1] if "--engine" in words else "filesystem")
    except UsageError as error:
        pytest.skip(str(error).partition("; engines:")[0])
    return report


@pytest.mark.one_at_a_time
@pytest.mark.parametrize("report", reports(), ids=lambda report: report.report)
def test_the_line_of_a_report_shows_what_the_page_says(report: Report, rig: Rig) -> None:
    """The finding, that the claim holds today, or that nobody makes it."""
    assert shown(_able(report), lambda words: _run(rig, words)) == report.says


def test_the_page_is_what_the_lines_give() -> None:
    """All of them, in their order, with the words that their runs are held to."""
    assert PAGE.read_text("utf-8") == render((report, report.says) for report in reports())


def test_there_are_at_least_ten_reports_of_others() -> None:
    """Each of another thread."""
    assert len({one.report for one in reports()}) == len(reports()) >= 10


def test_a_line_that_shows_something_else_is_told(rig: Rig) -> None:
    """The page cannot be made then."""
    wrong = Report("somebody/else#1", "nothing fails", "ckpt-harness replay '' --ranks 1", "DCP-001")
    with pytest.raises(click.ClickException, match="expected 'DCP-001', and found 'holds'"):
        shown(wrong, lambda words: _run(rig, words))
