"""The page and the scripts belong to the register that ships."""

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
    """``ckpt-harness findings --write docs/FINDINGS.md`` brings it up to date."""
    assert PAGE.read_text(encoding="utf-8") == render(Register.shipped())


def test_the_page_is_written_on_request(tmp_path: Path) -> None:
    """The command writes it where it is told."""
    done = CliRunner().invoke(main, ["findings", "--write", str(tmp_path / "page.md")])
    assert done.exit_code == 0, done.output
    assert (tmp_path / "page.md").read_text(encoding="utf-8") == render(Register.shipped())


def test_the_command_lists_every_finding() -> None:
    """One row each."""
    done = CliRunner().invoke(main, ["findings"])
    assert done.exit_code == 0, done.output
    assert [entry.id for entry in ENTRIES if entry.id not in done.output] == []


def test_a_register_that_cannot_be_read_is_a_usage_error() -> None:
    """One line and exit status 2, for each command that takes one."""
    for command in (["findings"], ["sweep"], ["replay", "writer.reset@1=raise"]):
        done = CliRunner().invoke(main, [*command, "--register", "nowhere.toml"])
        assert done.exit_code == 2
        assert "findings register 'nowhere.toml': No such file" in done.output


def test_every_entry_has_its_own_script() -> None:
    """And no script is left over."""
    assert sorted(entry.reproducer for entry in ENTRIES) == sorted(path.name for path in SCRIPTS.glob("*.py") if path.name != "__init__.py")


ABOUT = {
    "acc": {"accelerate"},
    "mcore": {"megatron"},
    "nvrx": {"nvidia_resiliency_ext"},
    "olmo": {"olmo_core"},
    "s3c": {"s3torchconnector"},
    "smc": {"amzn_sagemaker_checkpointing"},
}
"""What the scripts about packages of others import beside torch, by how their names begin."""


@pytest.mark.parametrize("path", sorted(SCRIPTS.glob("*_*[0-9].py")), ids=lambda path: path.stem)
def test_a_script_needs_torch_alone(path: Path) -> None:
    """Or that and the package it is about; nothing of the harness: a finding counts only where it shows without it, in a script as short as a bug report."""
    text = path.read_text(encoding="utf-8")
    names = {
        name.partition(".")[0]
        for node in ast.walk(ast.parse(text))
        for name in ([alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""] if isinstance(node, ast.ImportFrom) else [])
    }
    assert names <= sys.stdlib_module_names | {"torch"} | ABOUT.get(path.stem.partition("_")[0], set())
    assert len(text.splitlines()) <= 64
