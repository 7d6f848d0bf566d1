"""What the documents show is what the code says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from harness.fault import Fault
from harness.plan import FaultPlan
from harness.report import reference

ROOT = Path(__file__).parents[2]


def test_the_fault_reference_is_what_the_tables_give():
    """``python -m harness.report.reference > docs/FAULTS.md`` would change nothing."""
    assert (ROOT / "docs/FAULTS.md").read_text("utf-8") == reference.render()


def test_the_readme_quotes_the_mission_as_it_is():
    """The claim that the README shows is the scenario that runs, to the letter."""
    scenario = (ROOT / "scenarios/test_failures_reach_every_rank.py").read_text("utf-8")
    assert scenario[scenario.index("@pytest.mark.parametrize") :].strip() in (ROOT / "README.md").read_text("utf-8")


@pytest.mark.parametrize("page", ["README.md", "docs/GUIDE.md"])
def test_every_plan_that_a_page_shows_is_one(page):
    """Whatever looks like a plan in the documents parses."""
    text = (ROOT / page).read_text("utf-8")
    plans = re.findall(r"(?:plan=|inject\(|CKPT_HARNESS_PLAN=)[\"']([^\"']+)[\"']", text)
    plans += [line.split("  ")[0] for line in re.findall(r"^    (\S+@\S+=.*)$", text, re.MULTILINE) if "ranks" not in line]
    assert plans
    for plan in plans:
        assert all(isinstance(fault, Fault) for fault in FaultPlan.parse(plan))
