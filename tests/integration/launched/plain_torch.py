"""Runs stand-alone scripts as a maintainer of torch would, who has never heard of the harness."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from launching import launch


def show(scripts: Mapping[str, str], root: Path) -> dict[str, tuple[int, str]]:
    """Runs scripts at once, isolated from the environment, in an empty directory.

    Args:
        scripts: a name of each -> its text.
        root: where to put them, and all of their files.

    Returns:
        Exit status and output of each.
    """
    paths = {name: root / f"script_{number}" for number, name in enumerate(scripts)}
    for name, path in paths.items():
        path.write_text(scripts[name], "utf-8")
    status, said = launch(["-I", "-W", "ignore", "forked_scripts.py", *map(str, paths.values())], root)
    assert status == 0, said
    return {name: (int(Path(f"{path}.status").read_text()), Path(f"{path}.said").read_text("utf-8")) for name, path in paths.items()}


def not_shown(shown: Mapping[str, tuple[int, str]], last: Iterable[str]) -> dict[str, tuple[int, str]]:
    """Those of what :func:`show` returned that did not end with status 0, and in a line that begins with one of ``last``."""
    return {name: (status, said) for name, (status, said) in shown.items() if status or not said.splitlines()[-1].startswith(tuple(last))}
