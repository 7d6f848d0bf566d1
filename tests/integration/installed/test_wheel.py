"""What the wheel contains."""

from __future__ import annotations

from pathlib import Path

from home import ROOT, Home

SOURCES = ROOT / "harness/ckpt_harness"


def _files(root: Path) -> set[str]:
    return {str(path.relative_to(root)) for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts}


def test_every_file_of_the_library_is_installed(home: Home) -> None:
    """Modules, the registers of findings, templates, and the marker that lets type checkers in."""
    installed = _files(home.packages / "ckpt_harness")
    assert "py.typed" in installed
    assert any(name.endswith(".toml") for name in installed)
    assert any(name.endswith(".jinja") for name in installed)
    assert installed == _files(SOURCES)


def test_one_distribution_has_one_package_one_command_and_one_plug_in(home: Home) -> None:
    """Nothing else is installed under any other name."""
    (metadata,) = home.packages.glob("ckpt_harness-*.dist-info")
    assert (metadata / "top_level.txt").read_text("utf-8").split() == ["ckpt_harness"]
    assert (metadata / "entry_points.txt").read_text("utf-8").split("\n\n") == [
        "[console_scripts]\nckpt-harness = ckpt_harness.cli:main",
        "[pytest11]\nckpt_harness = ckpt_harness.pytest_plugin\n",
    ]
