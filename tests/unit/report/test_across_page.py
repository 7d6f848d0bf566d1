"""The page of checkpoints across releases: made of the record beside it, and complete."""

from __future__ import annotations

import io
import json
from pathlib import Path

from rich.console import Console

import ckpt_harness
from ckpt_harness.campaigns.across.compare import Ending, Result
from ckpt_harness.campaigns.across.run import Across
from ckpt_harness.report.across import render, show_across

REFERENCE = Path(ckpt_harness.__file__).parents[2] / "docs" / "reference"
WHOLE = Result(Ending.WHOLE)
REFUSED, WRONG = Result(Ending.REFUSED, "ValueError: too new"), Result(Ending.WRONG, "rank 0: w: zero instead of 1")
ACROSS = Across(
    "mine",
    (2, 1),
    {"1.0": "3.11.7", "2.0": "3.12.1"},
    (("1.0", "2.0"),),
    {
        ("1.0", "1.0"): {"a": WHOLE, "b": WHOLE, "c": WHOLE, "d": WHOLE},
        ("2.0", "2.0"): {"a": WHOLE, "b": WHOLE, "c": WHOLE, "d": WHOLE},
        ("1.0", "2.0"): {"a": WHOLE, "b": WRONG, "c": WHOLE, "d": WHOLE},
        ("2.0", "1.0"): {"a": WHOLE, "b": REFUSED, "c": REFUSED, "d": REFUSED},
    },
)
REASONS = ("1.0 -> 2.0: wrong: b: rank 0: w: zero instead of 1", "2.0 -> 1.0: refused: every workload but a: ValueError: too new")


def test_the_page_is_made_of_the_record_beside_it() -> None:
    """To the letter; and the record holds every release in both roles."""
    record = json.loads((REFERENCE / "across.json").read_text("utf-8"))
    across = Across.from_json(record)
    assert (REFERENCE / "across.md").read_text("utf-8") == render(across)
    assert len(across.releases) >= 3
    assert set(across.results) == {(before, after) for before in across.releases for after in across.releases}
    assert len({tuple(results) for results in across.results.values()}) == 1


def test_a_page_counts_the_endings_of_each_pair_and_says_why() -> None:
    """A cell for each pair; a line for each reason, with the workloads."""
    page = render(ACROSS)
    assert "| 1.0 | 4 whole | 3 whole, 1 wrong |\n| 2.0 | 1 whole, 3 refused | 4 whole |\n" in page
    for reason in REASONS:
        assert f"{reason}\n" in page
    assert "1 of them violates the claim" in page
    assert f"- *wrong*: {Ending.WRONG.meaning}\n" in page


def test_a_page_has_no_links_so_that_it_may_lie_anywhere() -> None:
    """`--write FILE` writes it to any folder."""
    assert "](" not in render(ACROSS)


def test_a_terminal_shows_the_same() -> None:
    """Without a line break in a reason, and with the meaning of each word that occurs."""
    shown = io.StringIO()
    show_across(Console(file=shown, width=80), ACROSS)
    for reason in REASONS:
        assert f"{reason}\n" in shown.getvalue()
    assert f"wrong: {Ending.WRONG.meaning}" in shown.getvalue()
    assert "hung" not in shown.getvalue()
