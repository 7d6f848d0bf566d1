"""The report of a search on a terminal: what was tried, what is known, and what is new, each failure as a short program with its replay line."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ckpt_harness.campaigns.fuzz.found import Failure, Found
from ckpt_harness.campaigns.fuzz.search import Search, Tally
from ckpt_harness.errors import cut
from ckpt_harness.findings.register import Register
from ckpt_harness.jobs.coverage import Coverage
from ckpt_harness.jobs.program import program
from ckpt_harness.judging.verdict import Verdict
from ckpt_harness.report.console import print_table, say
from ckpt_harness.report.terminal import mark_of

_COUNTED = {Verdict.VIOLATED: "violated", Verdict.UNKNOWN: "without a verdict", Verdict.VACUOUS: "with a fault that never fired", Verdict.HOLDS: "hold"}
"""What the totals call the jobs of each verdict."""
_LONGEST = 300
"""Characters of a reason."""


def show_fuzz(console: Console, search: Search, register: Register, unreadable: Sequence[str]) -> int:
    """Prints the report of a search.

    Args:
        console: where to print.
        search: the search.
        register: the known findings.
        unreadable: lines about files of the corpus that hold no job.

    Returns:
        The exit status: 1 if a claim is violated, 3 if a claim could not be checked, else 0.
    """
    console.print()
    print_table(console, tried(search.tally.coverage))
    say(console, [*totals(search.tally), *known(search.found, register), *failures(search.found), *unreadable])
    worst = Verdict.worst(failure.record.verdict for failure in search.found.failures)
    return {Verdict.VIOLATED: 1, Verdict.UNKNOWN: 3}.get(worst, 0)


def tried(coverage: Coverage) -> Table:
    """The pairs of consecutive operations: how many classes of faults struck the first of both, of how many."""
    table = Table(title="classes of faults tried: in the row's operation, before the column's", title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("")
    for second in coverage.steps:
        table.add_column(second, justify="right", style="dim")
    for first in coverage.steps:
        squares = [coverage.square(first, second) for second in coverage.steps]
        table.add_row(first, *(f"{hit}/{possible}" if possible else "" for hit, possible in squares))
    return table


def totals(tally: Tally) -> Iterator[Text]:
    """The numbers of a search."""
    counts = ", ".join(f"{tally.verdicts[verdict]} {_COUNTED[verdict]}" for verdict in sorted(Verdict, reverse=True))
    yield Text.assemble("\n", (f"{tally.drawn} jobs", "bold"), f" with {tally.operations} operations in {tally.seconds:.1f} s: {counts}")
    hit, possible = tally.coverage.share
    yield Text(f"coverage: {hit} of {possible} pairs of consecutive operations and classes of faults; {tally.shrinking} more runs for shrinking")
    if tally.replayed:
        yield Text(f"corpus: {tally.replayed} jobs run again, {tally.healed} of them hold now and were put aside")


def known(found: Found, register: Register) -> Iterator[Text]:
    """The known findings that jobs showed, each with the simplest job that did."""
    titles = {entry.id: entry.title for entry in register.entries}
    if found.known:
        yield Text("\nknown findings", style="bold")
    for name, job in sorted(found.known.items()):
        shrunk = f", shrunk in {found.shrunk[name]} runs" if name in found.shrunk else ""
        yield Text.assemble((name, "cyan"), f" {titles.get(name, '')} ({found.shown[name]} job{'s' * (found.shown[name] != 1)}{shrunk})")
        yield Text(f"    {job.replay_line()}", style="dim")


def failures(found: Found) -> Iterator[Text]:
    """Each way to fail, as a short program with its replay line."""
    if found.failures:
        yield Text("\nwhat counts against the run", style="bold")
    for failure in found.failures:
        yield from _failure(failure)


def _failure(failure: Failure) -> Iterator[Text]:
    record = failure.record
    origin = "in the corpus" if failure.old else f"shrunk in {failure.runs} runs" if failure.runs else "not shrunk"
    more = f", and {failure.times - 1} more like it" if failure.times > 1 else ""
    yield Text.assemble(mark_of(record.verdict.name), f" {', '.join(record.claims)} ({origin}{more})")
    yield from (Text(f"    {cut(each.oracle, 40)}: {cut(each.reason, _LONGEST)}") for each in record.broken)
    yield from (Text(f"        {line}", style="dim") for line in program(record.job, record.happened))
    yield Text(f"    {record.replay_line()}", style="bold")


def progress_text(tally: Tally, found: Found) -> str:
    """How a search goes on, in one line.

    Args:
        tally: the numbers.
        found: what was found.
    """
    hit, possible = tally.coverage.share
    speed = tally.operations / tally.seconds if tally.seconds else 0.0
    return (
        f"fuzzing: {tally.drawn} jobs, {speed:.0f} operations a second, {hit} of {possible} pairs tried, "
        f"{len(found.failures)} new, {len(found.known)} known findings"
    )
