"""What the documents show is what the code says."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from ckpt_harness.cli import main
from ckpt_harness.faults.fault import Fault
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.report import reference

ROOT = Path(__file__).parents[2]


def test_the_fault_reference_is_what_the_tables_give():
    """``python -m ckpt_harness.report.reference > docs/FAULTS.md`` would change nothing."""
    assert (ROOT / "docs/FAULTS.md").read_text("utf-8") == reference.render()


def test_the_readme_quotes_the_mission_as_it_is():
    """The claim that the README shows is the scenario that runs, to the letter."""
    scenario = (ROOT / "scenarios/test_failures_reach_every_rank.py").read_text("utf-8")
    assert scenario[scenario.index("@pytest.mark.parametrize") :].strip() in (ROOT / "README.md").read_text("utf-8")


def test_every_command_that_the_page_on_launchers_shows_is_understood(monkeypatch):
    """Each word of it, by the command line or by pytest's options, where a launcher is."""
    for name, value in {"RANK": "0", "WORLD_SIZE": "4", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
        monkeypatch.setenv(name, value)
    text = (ROOT / "docs/LAUNCHERS.md").read_text("utf-8")
    commands = [shlex.split(line.rstrip("'") if line.count("'") % 2 else line) for line in re.findall(r"-m ckpt_harness (.+)", text)]
    assert len(commands) >= 5
    for name, *arguments in commands:
        context = main.commands[name].make_context(name, arguments)
        assert context.params["world"] == "attached"
        assert context.params.get("sizes", (4,)) == (4,)


@pytest.mark.parametrize("page", ["docs/ADOPTING.md", "docs/GUIDE.md"])
def test_every_example_that_a_page_quotes_is_in_its_file(page):
    """To the letter: a comment before each block says which file that is, and tests run it."""
    text = (ROOT / page).read_text("utf-8")
    quotes = re.findall(r"^<!-- (docs/examples/\S+) -->\n```\w+\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(quotes) == text.count("<!-- docs/examples/") >= 1
    for file, quoted in quotes:
        assert quoted in (ROOT / file).read_text("utf-8"), f"{page} quotes {file} as it is not"


def test_every_plan_that_the_page_on_adopting_proposes_is_one():
    """Those of its table, too."""
    plans = re.findall(r"^\| `([^`]+@[^`]+)` \|", (ROOT / "docs/ADOPTING.md").read_text("utf-8"), re.MULTILINE)
    assert len(plans) >= 5
    assert all(FaultPlan.parse(plan) for plan in plans)


@pytest.mark.parametrize("page", ["README.md", "docs/GUIDE.md", "docs/ADOPTING.md"])
def test_every_plan_that_a_page_shows_is_one(page):
    """Whatever looks like a plan in the documents parses."""
    text = (ROOT / page).read_text("utf-8")
    plans = re.findall(r"(?:plan=|inject\(|CKPT_HARNESS_PLAN=)[\"']([^\"']+)[\"']", text)
    plans += [line.split("  ")[0] for line in re.findall(r"^    (\S+@\S+=.*)$", text, re.MULTILINE) if "ranks" not in line]
    assert plans
    for plan in plans:
        assert all(isinstance(fault, Fault) for fault in FaultPlan.parse(plan))
