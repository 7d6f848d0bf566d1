"""``ckpt-harness findings``: the register of known findings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ckpt_harness.cli.console import INTERRUPTED, note, progress_of
from ckpt_harness.cli.files import write_text
from ckpt_harness.cli.options import example, page_option, register_option, writable
from ckpt_harness.errors import quoted

if TYPE_CHECKING:
    from ckpt_harness.findings.register import Register
    from ckpt_harness.findings.runs import Run


@click.command(short_help="Prints the known findings: violations that are expected.", epilog=example("findings"))
@register_option
@page_option("Write the whole register as a Markdown page, instead of the table.")
@click.option(
    "--run",
    "runs",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    callback=writable,
    metavar="FILE",
    help="Run the stand-alone script of each finding, and note in FILE (TOML) whether it shows. Other runs that FILE holds are kept.",
)
@click.option(
    "--python",
    "pythons",
    multiple=True,
    metavar="PYTHON",
    help="With --run: the interpreter whose torch the scripts run on. May be given several times. Default: this interpreter.",
)
def findings(register: Register, write: Path | None, runs: Path | None, pythons: tuple[str, ...]) -> int:
    """Prints the known findings: violated claims that are in the register, so that a run fails only on what is new."""
    if pythons and not runs:
        raise click.UsageError("--python is for --run only; valid: --run FILE --python PYTHON")
    if runs and (write or register.files):
        raise click.UsageError(f"--run cannot be combined with {'--write' if write else '--register'}; valid: --run FILE --python PYTHON")
    if runs:
        return _run(runs, pythons)
    if write:
        from ckpt_harness.findings.page import render

        write_text(write, render(register))
    else:
        _show(register)
    return 0


def _show(register: Register) -> None:
    """Prints a row for each finding."""
    from rich.table import Column, Table

    from ckpt_harness.findings.runs import shipped_runs
    from ckpt_harness.report.console import console, print_table

    shown = shipped_runs()
    table = Table(Column("id", no_wrap=True), "finding", "in", Column("shows on torch", no_wrap=True), box=None, header_style="bold")
    for entry in register.entries:
        releases = [run.torch for run in shown.get(entry.id, ()) if run.shows] or entry.versions
        table.add_row(entry.id, entry.title, ", ".join(entry.operations), ", ".join(releases))
    print_table(console(), table)


def _run(path: Path, pythons: tuple[str, ...]) -> int:
    """Runs the scripts of the shipped findings, and writes to a file what they showed. Returns the exit status.

    The file is written after each interpreter, also if some scripts give no answer, or the user interrupts.
    """
    import sys

    from ckpt_harness.findings.runs import installed, merged, read_runs, written
    from ckpt_harness.report.console import console, say

    runs = read_runs(path.read_bytes()) if path.exists() else {}
    versions = {python: installed(python) for python in pythons or (sys.executable,)}
    unanswered = 0
    for python, has in versions.items():
        answers, problems, interrupted = _answers(python, has)
        runs = merged(runs, {name: [run] for name, run in answers.items()})
        write_text(path, written(runs))
        gone = [name for name, run in answers.items() if not run.shows]
        say(console(), [f"torch {has['torch']}: {len(answers) - len(gone)} findings show; gone: {', '.join(gone) or 'none'}"])
        say(console(), (f"    {name}: no answer: {problem}" for name, problem in problems.items()))
        unanswered += len(problems)
        if interrupted:
            note(f"Interrupted: {quoted(str(path))} has the runs of the scripts that ended.")
            return INTERRUPTED
    return 3 if unanswered else 0


def _answers(python: str, has: Mapping[str, str]) -> tuple[dict[str, Run], dict[str, str], bool]:
    """Runs the scripts with an interpreter.

    Args:
        python: the interpreter.
        has: the distributions that it has, and their versions.

    Returns:
        Id of a finding -> the run of its script; id of a finding -> what happened to a script that gave no answer; whether the user interrupted.
    """
    from ckpt_harness.findings.register import Register
    from ckpt_harness.findings.runs import Run, can_run, run_scripts

    entries = [entry for entry in Register.shipped().entries if can_run(entry, has)]
    answers: dict[str, Run] = {}
    problems: dict[str, str] = {}
    try:
        with progress_of(f"running the scripts on torch {has['torch']}") as progress:
            for number, (entry, answer) in enumerate(run_scripts(entries, python, has["torch"]), 1):
                if isinstance(answer, Run):
                    answers[entry.id] = answer
                else:
                    problems[entry.id] = answer
                progress(number, len(entries))
    except KeyboardInterrupt:
        return answers, problems, True
    return answers, problems, False
