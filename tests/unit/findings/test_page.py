"""The findings page and the stand-alone scripts agree with the shipped register."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

import ckpt_harness.findings
from ckpt_harness.cli import main
from ckpt_harness.findings.page import render
from ckpt_harness.findings.register import Register

ENTRIES = Register.shipped().entries
SCRIPTS = Path(ckpt_harness.findings.__file__).parent / "reproducers"
PAGE = Path(ckpt_harness.findings.__file__).parents[3] / "docs" / "FINDINGS.md"


def test_the_page_is_what_the_register_says() -> None:
    """``ckpt-harness findings --write docs/FINDINGS.md`` would not change the page."""
    assert PAGE.read_text(encoding="utf-8") == render(Register.shipped())


def test_the_page_is_written_on_request(tmp_path: Path) -> None:
    """``findings --write FILE`` writes the page to the file."""
    done = CliRunner().invoke(main, ["findings", "--write", str(tmp_path / "page.md")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == render(Register.shipped())


def test_the_command_lists_every_finding() -> None:
    """``findings`` prints one row for each entry."""
    done = CliRunner().invoke(main, ["findings"])
    assert done.exit_code == 0, done.output
    assert [entry.id for entry in ENTRIES if entry.id not in done.output] == []


def test_a_register_that_cannot_be_read_is_a_usage_error() -> None:
    """``findings``, ``sweep`` and ``replay`` print one line and end with exit status 2."""
    for command in (["findings"], ["sweep"], ["replay", "writer.reset@1=raise"]):
        done = CliRunner().invoke(main, [*command, "--register", "nowhere.toml"])
        assert done.exit_code == 2
        assert "findings register 'nowhere.toml': No such file" in done.output


def test_every_entry_has_its_own_script() -> None:
    """Each entry names one script, and each script belongs to an entry."""
    assert sorted(entry.reproducer for entry in ENTRIES) == sorted(path.name for path in SCRIPTS.glob("*.py") if path.name != "__init__.py")


ABOUT = {
    "acc": {"accelerate"},
    "mcore": {"megatron"},
    "nvrx": {"nvidia_resiliency_ext"},
    "olmo": {"olmo_core"},
    "s3c": {"s3torchconnector"},
    "smc": {"amzn_sagemaker_checkpointing"},
}
"""First part of a script's name -> the third-party package that the script imports."""


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*_*[0-9].py")), ids=lambda path: path.stem)
def test_a_script_needs_torch_only(path: Path) -> None:
    """A script imports torch, and the package that it is about, but not the harness; it is as short as a bug report."""
    text = path.read_text(encoding="utf-8")
    names = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(text))
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""] if isinstance(node, ast.ImportFrom) else [])
    }
    assert names <= sys.stdlib_module_names | {"torch"} | ABOUT.get(path.stem.partition("_")[0], set())
    assert len(text.splitlines()) <= 64
