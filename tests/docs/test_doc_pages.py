"""What the README and the pages below docs/ show is what the code says. Nothing runs here; see test_doc_examples.py."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from doc_pages import GENERATED, PAGES, ROOT, Block, anchors, calls, every_block, links, name, pattern

import ckpt_harness
from ckpt_harness.cli import main
from ckpt_harness.engines.names import BUILT_IN
from ckpt_harness.faults.fault import Fault
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.pytest_plugin.names import FIXTURES
from ckpt_harness.report import reference
from ckpt_harness.workloads.workload import PARALLEL, WORKLOADS

WRITTEN = [page for page in PAGES if page not in GENERATED]
SHELL = [block for block in every_block("sh", "console") if any(True for _ in calls(block))]


def _text(page: str) -> str:
    return (ROOT / page).read_text("utf-8")


def test_the_fault_reference_is_what_the_tables_give() -> None:
    """``python -m ckpt_harness.report.reference > docs/FAULTS.md`` would change nothing."""
    assert _text("docs/FAULTS.md") == reference.render()


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    """As a code host reads it; Sphinx checks the same for the site."""
    broken = []
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            broken.append(target)
    assert broken == []


QUOTES = [block for block in every_block("python", "toml") if re.match(r"\S+\.\w+$", block.comment)]


@pytest.mark.parametrize("block", QUOTES, ids=str)
def test_every_quote_is_in_its_file(block: Block) -> None:
    """To the letter: the comment before a block names the file, and other tests run that file."""
    assert block.text in _text(block.comment), f"{block} quotes {block.comment} as it is not"


def test_every_quoted_example_is_one_that_a_test_runs() -> None:
    """Below docs/examples or scenarios, or in the README, where tests find them."""
    assert len(QUOTES) >= 10
    assert all(block.comment.startswith(("docs/examples/", "scenarios/", "README.md")) for block in QUOTES)


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_every_command_that_a_page_shows_is_understood(block: Block, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each option and value, by the command line; under a launcher where the page shows one."""
    if "torchrun" in block.text or "srun" in block.text:
        for variable, value in {"RANK": "0", "WORLD_SIZE": "4", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"}.items():
            monkeypatch.setenv(variable, value)
    for place in (tmp_path, tmp_path / "tests"):
        place.mkdir(exist_ok=True)
        shutil.copy(ROOT / "docs/examples/storage/tests/known.toml", place)
    monkeypatch.chdir(tmp_path)
    for words in calls(block):
        if words[:1] in (["--help"], ["COMMAND"]):
            continue
        context = main.commands[words[0]].make_context(words[0], words[1:])
        if "plan" in context.params:
            FaultPlan.parse(context.params["plan"])
        if "world" in context.params and "srun" in block.text:
            assert context.params["world"] == "attached"


def test_many_commands_are_looked_at() -> None:
    """A change of the format would otherwise leave none."""
    assert sum(len(list(calls(block))) for block in SHELL) >= 60


@pytest.mark.parametrize("page", WRITTEN, ids=name)
def test_every_plan_that_a_page_shows_is_one(page: Path) -> None:
    """Whatever looks like a plan parses: in tables, in sentences, and in code."""
    text = page.read_text("utf-8")
    plans = re.findall(r"(?:plan=|inject\(|CKPT_HARNESS_PLAN=|FaultPlan\.parse\()[\"']([^\"']+)[\"']", text)
    plans += re.findall(r"`((?:\w+(?:\[\d+\])?/)?[\w.]+(?:\([^)`]*\))?@[^`|]+=[^`|]+)`", text)
    for plan in plans:
        if "site[(glob)]" not in plan and "{" not in plan:
            assert all(isinstance(fault, Fault) for fault in FaultPlan.parse(plan))


def test_the_readme_has_the_blocks_that_ci_follows() -> None:
    """Each once: two commands, and what the first of them prints."""
    marks = [block.comment for block in every_block("sh", "text") if block.page == ROOT / "README.md"]
    assert [mark for mark in marks if mark.endswith(("-command", "sweep-output"))] == ["sweep-command", "test-command", "sweep-output"]


def test_the_readme_quotes_the_mission_as_it_is() -> None:
    """The claim that the README shows is the scenario that runs, to the letter."""
    scenario = _text("scenarios/test_failures_reach_every_rank.py")
    assert scenario[scenario.index("@pytest.mark.parametrize") :].strip() in _text("README.md")


def test_the_api_page_has_every_public_name_once() -> None:
    """So that the generated reference leaves nothing out."""
    listed = re.findall(r"^\.\. auto(?:class|function|exception|data):: (\w+)$", _text("docs/reference/api.md"), re.MULTILINE)
    assert sorted(listed) == sorted(ckpt_harness.__all__)


def test_the_pytest_page_has_every_option_mark_and_fixture() -> None:
    """And none that there is not."""
    page = _text("docs/reference/pytest.md")
    plugin = "".join(file.read_text("utf-8") for file in (ROOT / "harness/ckpt_harness/pytest_plugin").glob("*.py"))
    assert set(re.findall(r"--ckpt-[a-z]+", page)) == set(re.findall(r'"(--ckpt-[a-z]+)",', plugin))
    assert set(re.findall(r"^\| `(ckpt_\w+)` \|", page, re.MULTILINE)) == set(FIXTURES)
    assert set(re.findall(r"pytest\.mark\.(\w+)", page)) == {"ckpt_ranks", "ckpt_runs_in", "ckpt_needs"}


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_option_of_pytest_that_a_page_shows_exists(page: Path) -> None:
    """By the same table."""
    known = set(re.findall(r"--ckpt-[a-z]+", _text("docs/reference/pytest.md")))
    assert set(re.findall(r"--ckpt-[a-z]+", page.read_text("utf-8"))) <= known


def test_the_tables_of_engines_workloads_and_capabilities_are_whole() -> None:
    """Each built-in name is in its table."""
    engines = _text("docs/reference/engines.md")
    assert [one for one in (*BUILT_IN, *WORKLOADS, *PARALLEL) if f"`{one}`" not in engines] == []
    capabilities = _text("docs/how-to/storage.md")
    assert [one.value for one in Capability if f"`{one.value}`" not in capabilities and one is not Capability.OBJECT_STORE] == []


@pytest.mark.parametrize("shown", ["one\ntwo\nthree\n", "...\nthree\n", "one\n...\n", "o...e\n...\nthree\n"])
def test_what_a_page_leaves_out_may_be_anything(shown: str) -> None:
    """Whole lines, or a part of a line."""
    assert pattern(shown).fullmatch("one  \ntwo\nthree\n")


@pytest.mark.parametrize("shown", ["one\nthree\n", "one\ntwo\n", "...\nfour\n", "t...\n...\n", ""])
def test_what_a_page_shows_has_to_be_printed(shown: str) -> None:
    """An output that lacks a line of the page, or has more than the page leaves out, is another output."""
    assert not pattern(shown).fullmatch("one\ntwo\nthree\n")
