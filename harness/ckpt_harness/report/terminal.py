"""The report of a campaign on a terminal: the legend, a matrix of sites and ranks for each operation, totals, and findings with their replay lines."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ckpt_harness.campaigns.compare_worlds import Difference
from ckpt_harness.cases import printed
from ckpt_harness.cases.record import Record
from ckpt_harness.faults.sites import PHASES, SITES, OperationKind
from ckpt_harness.judging.verdict import Verdict
from ckpt_harness.report.console import print_table, say
from ckpt_harness.report.summary import Square, Summary, distinct

_MARKS: dict[str, tuple[str, str, str]] = {
    "VIOLATED": ("X", "bold red", "violated"),
    "UNKNOWN": ("?", "bold magenta", "no verdict"),
    "VACUOUS": ("0", "yellow", "never fired"),
    "KNOWN": ("k", "cyan", "known finding"),
    "HOLDS": (".", "green", "every claim holds"),
}
"""Mark of the worst case of a square, the worst first; its style; what it means."""
_MOST_SHOWN = 20
"""Kinds of complaints, or differences, that are printed."""
_COUNTED = {Verdict.VIOLATED: "violated", Verdict.UNKNOWN: "without a verdict", Verdict.VACUOUS: "never fired", Verdict.HOLDS: "hold"}
"""What the totals call the cases of each verdict."""


def matrix(summary: Summary, operation: OperationKind) -> Table:
    """The failure matrix of an operation: sites by phase, and for each size of world its ranks.

    Args:
        summary: the records of the campaign.
        operation: the kind of operation.
    """
    squares = {square: marks for square, marks in summary.squares.items() if square.operation == operation}
    columns = sorted({(square.ranks, square.rank) for square in squares})
    table = Table(title=f"{operation}: who learned what", title_justify="left", box=None, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("phase")
    table.add_column("fault at")
    for index, (size, rank) in enumerate(columns):
        first = index == 0 or columns[index - 1][0] != size
        table.add_column(f"of {size}\n{rank}" if first else f"\n{rank}", no_wrap=True)
    for phase in PHASES:
        sites = [name for name, site in SITES.items() if site.phase == phase and any(square.site == name for square in squares)]
        for number, name in enumerate(sites):
            row = []
            for size, rank in columns:
                plain, others = (squares.get(Square(operation, name, size, rank, is_plain)) for is_plain in (True, False))
                row.append(Text.assemble(_mark(plain), _mark(others)))
            table.add_row(phase if number == 0 else "", name, *row, end_section=number == len(sites) - 1)
    return table


def _mark(marks: Counter[str] | None) -> Text:
    if not marks:
        return Text(" ")
    worst = next(name for name in _MARKS if marks[name])
    return Text(_MARKS[worst][0], style=_MARKS[worst][1])


def legend() -> Text:
    """What the rows, the columns and the marks of a matrix mean. It stands before the first matrix."""
    text = Text()
    for mark, style, meaning in reversed(_MARKS.values()):
        text.append(f" {mark} ", style=style)
        text.append(f"{meaning} ", style="dim")
    for line in (
        "Rows: where the fault strikes. Columns: the struck rank, of 2, 3, ... ranks.",
        "In each square: a plain error first, then all other errors and effects.",
        "Blank: the rank never calls the site, or nothing was tried there.",
    ):
        text.append(f"\n {line}", "dim")
    return text


def show(console: Console, summary: Summary, operations: tuple[OperationKind, ...], seconds: float) -> None:
    """Prints the whole report of a campaign.

    Args:
        console: where to print.
        summary: the records of the campaign.
        operations: the kinds of operation that were swept.
        seconds: how long the campaign took.
    """
    console.print()
    say(console, [legend(), Text()])
    for operation in operations:
        if any(square.operation == operation for square in summary.squares):
            print_table(console, matrix(summary, operation))
            console.print()
    say(console, [*totals(summary, operations, seconds), *findings(summary), *complaints(summary)])


def totals(summary: Summary, operations: tuple[OperationKind, ...], seconds: float) -> Iterator[Text]:
    """The numbers of cases by verdict, the coverage, and the sites that no case reached.

    Args:
        summary: the records of the campaign.
        operations: the kinds of operation that were swept.
        seconds: how long the campaign took.
    """
    verdicts = summary.verdicts
    known = sum(1 for record in summary.records if record.known and record.verdict is Verdict.HOLDS)
    shown = [verdict for verdict in sorted(Verdict, reverse=True) if verdicts[verdict] or verdict is Verdict.VIOLATED]
    counts = ", ".join(f"{verdicts[verdict]} {_COUNTED[verdict]}" for verdict in shown)
    yield Text.assemble((f"{len(summary.records)} cases", "bold"), f" in {seconds:.1f} s: {counts} ({known} of them with a known finding)")
    if summary.coverage is not None:
        hit, reachable = len(summary.coverage.hit & summary.coverage.reachable), len(summary.coverage.reachable)
        yield Text(f"coverage: {hit} of {reachable} reachable cells (site, rank, occurrence) failed")
        never = summary.coverage.never_reached(operations)
        if never:
            yield Text(f"declared sites that these operations never reached: {', '.join(never)}", style="dim")


def findings(summary: Summary) -> Iterator[Text]:
    """The known findings that the run showed, and the findings that the run should have shown and did not."""
    titles = {entry.id: entry.title for entry in summary.register.entries}
    gone = summary.gone()
    if summary.known or gone:
        yield Text("\nknown findings", style="bold")
    for name, records in sorted(summary.known.items()):
        yield Text.assemble((name, "cyan"), f" {titles[name]} ({len(records)} {'case' if len(records) == 1 else 'cases'})")
        yield Text(f"    {min(records, key=_length).replay_line()}", style="dim")
    for name in gone:
        if summary.register.recorded_here(name):
            where = "on the version that it was recorded for: fixed? If so, remove it from the register"
        else:
            where = "on another version than it was recorded for"
        yield Text.assemble((name, "yellow"), f" {titles[name]}: this run should have shown it, and did not, {where}")


def _length(record: Record) -> tuple[int, int, int, str, str]:
    """Orders records by what there is to read in their replay lines; never by when they came, which differs between runs with several workers."""
    plan = str(record.case.plan)
    return record.case.ranks, record.case.coordinator, len(plan), plan, record.case.operation


def complaints(summary: Summary) -> Iterator[Text]:
    """What counts against the run: each distinct way to go wrong once, the simplest plan first, with the line that replays it."""
    distinct_ways = distinct(summary.bad())
    if distinct_ways:
        yield Text("\nwhat counts against the run", style="bold")
    for record, count in distinct_ways[:_MOST_SHOWN]:
        others = f" (and {count - 1} more like it)" if count > 1 else ""
        yield Text.assemble(mark_of(record.verdict.name), " ", str(record.case.plan) or "no fault at all", others)
        yield from (Text(f"    {complaint}") for complaint in record.complaints)
        yield from (Text(f"    {line}", style="dim") for line in printed.shown(record.printed))
        yield Text(f"    {record.replay_line()}", style="bold")
    if len(distinct_ways) > _MOST_SHOWN:
        yield Text(f"... and {len(distinct_ways) - _MOST_SHOWN} more kinds; --json has all")


def disagreements(compared: int, differences: Sequence[Difference]) -> Iterator[Text]:
    """Whether simulated ranks show what processes show.

    Args:
        compared: how many cases ran in both worlds.
        differences: the cases that differ; each is printed with the lines that replay it in either world.
    """
    number = len(differences) or "none"
    yield Text(f"\n{compared} cases ran on simulated ranks and on processes: {number} of them differ", style="bold")
    for difference in differences[:_MOST_SHOWN]:
        yield Text(f"{difference.simulated.case.plan}: {', '.join(difference.what)}")
        for record in (difference.simulated, difference.real):
            yield Text(f"    {record.case.world}: {record.verdict.name}; {'; '.join(record.outcomes)}")
            yield Text(f"    {record.replay_line()}", style="dim")
    if len(differences) > _MOST_SHOWN:
        yield Text(f"... and {len(differences) - _MOST_SHOWN} more; --json has all")


def mark_of(name: str) -> Text:
    """The name of a verdict, or KNOWN, in its colour."""
    return Text(name, style=_MARKS[name][1])
