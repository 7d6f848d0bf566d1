"""The failure matrix in pytest's summary."""

from __future__ import annotations

import io
import shutil
from collections.abc import Iterator

from rich.console import Console, RenderableType

from ckpt_harness.faults.sites import OPERATION_KINDS
from ckpt_harness.pytest_plugin.session import Session
from ckpt_harness.report.summary import Summary
from ckpt_harness.report.terminal import legend, matrix, totals


def rendered(session: Session, *, colour: bool) -> str:
    """The failure matrix of all cases that ran, and what they came to.

    Args:
        session: has the records.
        colour: whether the terminal shows colours.
    """
    text = io.StringIO()
    console = Console(file=text, width=shutil.get_terminal_size((140, 24)).columns, force_terminal=colour, highlight=False)
    for part in _parts(session):
        console.print(part)
    return text.getvalue()


def _parts(session: Session) -> Iterator[RenderableType]:
    summary = Summary(session.register())
    for record in session.records:
        summary.add(record)
    operations = tuple(kind for kind in OPERATION_KINDS if any(square.operation == kind for square in summary.squares))
    for operation in operations:
        yield matrix(summary, operation)
        yield ""
    if session.records:
        yield legend()
        yield from totals(summary, operations, sum(record.seconds for record in session.records))
    for why, number in sorted(session.elsewhere.items()):
        yield f"{number} cases ran on simulated ranks of rank 0: {why}"
    for how, number in sorted(session.instead.items()):
        yield f"in {number} cases {how}"
    for why, number in sorted(session.refused.items()):
        yield f"{number} cases did not run on engine {session.engine!r}: {why}"
    if summary.known:
        yield "known findings: " + ", ".join(f"{name} ({len(records)} cases)" for name, records in sorted(summary.known.items()))
