"""Runs of the stand-alone scripts: on which releases of torch does each finding show?

``ckpt-harness findings --run`` runs the scripts of the shipped findings and writes the results to ``runs.toml``, beside this file. The findings page and
the command ``findings`` print them.
"""

from __future__ import annotations

import importlib.resources
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple

from ckpt_harness.errors import UsageError, cut, quoted, summary
from ckpt_harness.findings.entry import Entry

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_LONGEST_RUN = 300
"""Seconds for one script. Scripts that show a hang wait a minute at most."""

_VERSIONS = """
import importlib.metadata, json
named = [distribution for distribution in importlib.metadata.distributions() if distribution.metadata["Name"]]
print(json.dumps({distribution.metadata["Name"].lower(): distribution.version.partition("+")[0] for distribution in named}))
"""
"""A program that prints the installed distributions of an interpreter."""


class Run(NamedTuple):
    """What the script of a finding showed on one release of torch.

    Attributes:
        torch: the release.
        date: the day of the run.
        shows: whether the finding shows.
        said: the last line that the script printed.
    """

    torch: str
    date: date
    shows: bool
    said: str


Runs = Mapping[str, Sequence[Run]]
"""Id of a finding -> its runs, by release."""


def read_runs(content: bytes) -> dict[str, list[Run]]:
    r"""Reads the runs that a file of runs holds.

    Args:
        content: what the file holds.

    Raises:
        UsageError: the file holds something else.

    Example:
        >>> read_runs(b'[DCP-001."2.15.0"]\ndate = 2026-11-28\nshows = true\nsaid = "wrong: a rank hangs"\n')["DCP-001"][0].torch
        '2.15.0'
    """
    try:
        tables = tomllib.loads(content.decode())
        runs = {name: [_run_of(torch, table) for torch, table in releases.items()] for name, releases in tables.items()}
    except (ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UsageError(f"the file of --run holds no runs: {summary(error)}; valid: a file that the command wrote, or a new file") from error
    return {name: sorted(of_finding, key=lambda run: as_numbers(run.torch)) for name, of_finding in runs.items()}


def _run_of(torch: str, table: Mapping[str, Any]) -> Run:
    """A run as a table of a file of runs describes it.

    Raises:
        TypeError: a field is missing or unknown, or has a value of another type.
    """
    run = Run(torch, **table)
    for value, kind in ((run.date, date), (run.shows, bool), (run.said, str)):
        if not isinstance(value, kind):
            raise TypeError(f"{value!r} is no {kind.__name__}")
    return run


def shipped_runs() -> dict[str, list[Run]]:
    """The runs that ship with the harness."""
    return read_runs(importlib.resources.files(__package__).joinpath("runs.toml").read_bytes())


def as_numbers(release: str) -> tuple[int, ...]:
    """A release as numbers, so that releases sort by age.

    Example:
        >>> sorted(["2.13.0", "2.9.1"], key=as_numbers)
        ['2.9.1', '2.13.0']
    """
    return tuple(int(part) for part in release.split(".") if part.isdigit())


def written(runs: Runs) -> str:
    """The text of a file of runs.

    Args:
        runs: what the file is to hold.

    Example:
        >>> run = Run("2.15.0", date(2026, 11, 28), True, "wrong: a rank hangs")
        >>> read_runs(written({"DCP-001": [run]}).encode()) == {"DCP-001": [run]}
        True
    """
    lines = ["# Written by `ckpt-harness findings --run`. Do not edit."]
    for name, of_finding in sorted(runs.items()):
        for run in sorted(of_finding, key=lambda run: as_numbers(run.torch)):
            lines += [
                "",
                f'[{name}."{run.torch}"]',
                f"date = {run.date}",
                f"shows = {str(run.shows).lower()}",
                f"said = {json.dumps(run.said)}",
            ]
    return "\n".join(lines) + "\n"


def merged(runs: Runs, new: Runs) -> dict[str, list[Run]]:
    """The runs with new runs added; a new run takes the place of an older run on the same release."""
    names = dict.fromkeys((*runs, *new))
    return {name: list({run.torch: run for run in (*runs.get(name, ()), *new.get(name, ()))}.values()) for name in names}


def installed(python: str) -> dict[str, str]:
    """The distributions that an interpreter has, and their versions.

    Args:
        python: the interpreter.

    Raises:
        UsageError: there is no such interpreter, or it has no torch.
    """
    try:
        ran = subprocess.run([python, "-I", "-c", _VERSIONS], capture_output=True, text=True, timeout=_LONGEST_RUN, check=True)
        versions: dict[str, str] = json.loads(ran.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:  # a ValueError: it printed something else
        raise UsageError(f"--python {quoted(python)} does not run: {type(error).__name__}; valid: the path of a Python with torch") from error
    if "torch" not in versions:
        raise UsageError(f"--python {quoted(python)} has no torch; valid: the path of a Python with torch")
    return versions


def can_run(entry: Entry, versions: Mapping[str, str]) -> bool:
    """Whether an interpreter has the packages that a finding was recorded for.

    Args:
        entry: the finding.
        versions: what :func:`installed` says of the interpreter.
    """
    return all(versions.get(name) == version for name, _, version in (package.partition("==") for package in entry.packages))


def run_scripts(entries: Sequence[Entry], python: str, torch: str) -> Iterator[tuple[Entry, Run | str]]:
    """Runs the scripts of findings, each for itself: beside others, a rank may be late, and a script takes a late rank for hung.

    Args:
        entries: the findings.
        python: the interpreter.
        torch: its release of torch.

    Yields:
        Each finding with its run or, if its script neither showed the finding nor said that the finding is gone, with what happened instead.
    """
    for entry in entries:
        yield entry, _run(entry, python, torch)


def _run(entry: Entry, python: str, torch: str) -> Run | str:
    script = importlib.resources.files("ckpt_harness.findings.reproducers").joinpath(entry.reproducer)
    with tempfile.TemporaryDirectory(prefix="ckpt-harness-finding-", ignore_cleanup_errors=True) as directory:
        path = Path(directory, entry.reproducer)
        path.write_text(script.read_text("utf-8"), encoding="utf-8")
        try:
            status, out, err = _ended([python, "-I", "-W", "ignore", str(path)], directory)
        except subprocess.TimeoutExpired:
            return f"{entry.reproducer} did not end within {_LONGEST_RUN} s with {quoted(python)}"
    today = datetime.now(timezone.utc).date()
    printed, complaint = ((stream.strip() or "nothing").splitlines()[-1] for stream in (out, err))
    if status == 0 and printed.startswith("wrong: "):
        return Run(torch, today, True, printed)
    if status == 1 and "Traceback" not in err:  # the script itself says that the finding does not show
        return Run(torch, today, False, complaint)
    return f"{entry.reproducer} failed with {quoted(python)}: {cut(complaint)}"


def _ended(command: Sequence[str], directory: str) -> tuple[int, str, str]:
    """Runs a command to its end. Returns its status, and what it printed to stdout and stderr.

    The command has a session of its own. If it takes too long, or the user interrupts, its ranks are killed with it.

    Raises:
        subprocess.TimeoutExpired: it took too long.
    """
    pipe = subprocess.PIPE
    with subprocess.Popen(command, cwd=directory, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:
        try:
            out, err = process.communicate(timeout=_LONGEST_RUN)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return process.returncode, out, err
