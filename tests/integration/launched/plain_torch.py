"""Runs stand-alone scripts with plain torch, as a maintainer of torch would."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from launching import launch


def show(scripts: Mapping[str, str], root: Path) -> dict[str, tuple[int, str]]:
    """Runs scripts at the same time, isolated from the environment, in an empty directory.

    A script gives its ranks so many seconds, in which a busy machine may not even start a process. So a script that shows something else is run once
    more, alone.

    Args:
        scripts: name -> text of each script.
        root: directory for the scripts and all of their files.

    Returns:
        Name -> exit status and output of each script.
    """
    shown = _run(scripts, root, "script")
    for number, name in enumerate([name for name, (status, _) in shown.items() if status]):
        shown |= _run({name: scripts[name]}, root, f"again_{number}")
    return shown


def _run(scripts: Mapping[str, str], root: Path, prefix: str) -> dict[str, tuple[int, str]]:
    paths = {name: root / f"{prefix}_{number}" for number, name in enumerate(scripts)}
    for name, path in paths.items():
        path.write_text(scripts[name], "utf-8")
    status, said = launch(["-I", "-W", "ignore", "forked_scripts.py", *map(str, paths.values())], root)
    assert status == 0, said
    return {name: (int(Path(f"{path}.status").read_text()), Path(f"{path}.said").read_text("utf-8")) for name, path in paths.items()}


def not_shown(shown: Mapping[str, tuple[int, str]], last: Iterable[str]) -> dict[str, tuple[int, str]]:
    """The results of :func:`show` with an exit status other than 0, or without a last line that begins with one of ``last``."""
    return {name: (status, said) for name, (status, said) in shown.items() if status or not said.splitlines()[-1].startswith(tuple(last))}
