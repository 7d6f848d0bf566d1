"""What the plugin prints at the end of a session: the failure matrix of all cases, the jobs that ran, and which cases did not run as written."""

from __future__ import annotations

import io
import shutil
from collections import Counter
from collections.abc import Iterator

import pytest

from ckpt_harness.pytest_plugin.options import header
from ckpt_harness.pytest_plugin.session import SECTION, Session, replay_lines


def write_summary(session: Session, reporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints the replay lines of failures if ``--tb=no`` hides them, then the failure matrix unless ``--ckpt-matrix hide`` or ``-q`` asks for less."""
    if config.getoption("tbstyle") == "no":
        for report in reporter.stats.get("failed", []):
            for line in replay_lines(report):
                reporter.write_line(line)
    if (session.records or session.jobs or session.refused) and config.getoption("ckpt_matrix") == "show" and reporter.verbosity >= 0:
        reporter.section(SECTION)
        reporter.write_line(header(config))
        reporter.write(_rendered(session, colour=reporter.hasmarkup))


def _rendered(session: Session, *, colour: bool) -> str:
    from rich.console import Console

    text = io.StringIO()
    width = shutil.get_terminal_size((140, 24)).columns
    console = Console(file=text, width=width, force_terminal=colour, highlight=False, markup=False, emoji=False)
    for part in _parts(session):
        console.print(part)
    return text.getvalue()


def _parts(session: Session) -> Iterator[object]:
    """The matrix of each operation, the totals, and a line for each reason why cases ran elsewhere, otherwise, or not at all."""
    from ckpt_harness.faults.sites import OPERATION_KINDS
    from ckpt_harness.report.summary import Summary
    from ckpt_harness.report.terminal import legend, matrix, totals

    summary = Summary(session.register())
    for record in session.records:
        summary.add(record)
    operations = tuple(kind for kind in OPERATION_KINDS if any(square.operation == kind for square in summary.squares))
    if session.records:
        yield legend()
        yield ""
    for operation in operations:
        yield matrix(summary, operation)
        yield ""
    if session.records:
        yield from totals(summary, operations, sum(record.seconds for record in session.records))
    for reason, number in sorted(session.elsewhere.items()):
        yield f"{number} cases ran on simulated ranks of rank 0: {reason}"
    for change, number in sorted(session.instead.items()):
        yield f"in {number} cases {change}"
    for reason, number in sorted(session.refused.items()):
        yield f"{number} cases did not run on engine {session.engine!r}: {reason}"
    if session.jobs:
        yield _jobs(session)
    if summary.known:
        yield "known findings: " + ", ".join(f"{name} ({len(records)} cases)" for name, records in sorted(summary.known.items()))


def _jobs(session: Session) -> str:
    """How many jobs ran, what became of them, and which findings they showed."""
    from ckpt_harness.judging.verdict import Verdict

    verdicts = Counter(record.verdict for record in session.jobs)
    known = Counter(name for record in session.jobs for name in record.known)
    operations = sum(len(record.job.operations) for record in session.jobs)
    parts = [f"{number} {verdict.name}" for verdict, number in sorted(verdicts.items(), reverse=True) if verdict is not Verdict.HOLDS]
    findings = f"; known findings: {', '.join(f'{name} ({number} jobs)' for name, number in sorted(known.items()))}" if known else ""
    return f"{len(session.jobs)} jobs with {operations} operations: {', '.join(parts) or 'all hold'}{findings}"
