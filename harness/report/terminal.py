"""The report on a terminal: a site x rank matrix per operation, a legend, totals, findings with their replay lines."""

from __future__ import annotations

from collections import Counter

from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from harness.case import CaseResult
from harness.findings.signature import observed
from harness.report.summary import Square, Summary, distinct
from harness.sites import PHASES, SITES, OperationKind
from harness.verdict import Verdict

_MARKS: dict[str, tuple[str, str, str]] = {
    "VIOLATED": ("X", "bold red", "violated"),
    "UNKNOWN": ("?", "bold magenta", "no verdict"),
    "VACUOUS": ("0", "yellow", "never fired"),
    "KNOWN": ("k", "cyan", "known finding"),
    "HOLDS": (".", "green", "every claim holds"),
}
"""Mark of the worst case of a square, the worst first; its style; what it means."""
_MOST_SHOWN = 20


def matrix(summary: Summary, operation: OperationKind) -> Table:
    """The failure matrix of an operation: sites by phase, and for each size of world its ranks."""
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
            row = [Text("").join(_mark(squares.get(Square(operation, name, *column, plain))) for plain in (True, False)) for column in columns]
            table.add_row(phase if number == 0 else "", name, *row, end_section=number == len(sites) - 1)
    return table


def _mark(marks: Counter[str] | None) -> Text:
    if not marks:
        return Text(" ")
    worst = next(name for name in _MARKS if marks[name])
    return Text(_MARKS[worst][0], style=_MARKS[worst][1])


def legend() -> Text:
    """What the marks mean."""
    text = Text()
    for mark, style, meaning in reversed(_MARKS.values()):
        text.append(f" {mark} ", style=style)
        text.append(f"{meaning} ", style="dim")
    text.append("\n In each square: a plain error first, then all other errors and effects.", "dim")
    return text.append("\n Blank: the rank never calls the site, or that was not tried.", "dim")


def show(console: Console, summary: Summary, operations: tuple[OperationKind, ...], seconds: float) -> None:
    """Prints the whole report."""
    console.print()
    for operation in operations:
        if any(square.operation == operation for square in summary.squares):
            console.print(matrix(summary, operation), "")
    console.print(legend(), "")
    console.print(totals(summary, operations, seconds))
    console.print(findings(summary))
    console.print(complaints(summary))


def totals(summary: Summary, operations: tuple[OperationKind, ...], seconds: float) -> RenderableType:
    """Counts, coverage, and the sites that nothing reached."""
    verdicts = summary.verdicts
    known = sum(1 for record in summary.records if record.known and record.verdict is Verdict.HOLDS)
    shown = [verdict for verdict in sorted(Verdict, reverse=True) if verdicts[verdict] or verdict is Verdict.VIOLATED]
    counts = ", ".join(f"{verdicts[verdict]} {verdict.name.lower()}" for verdict in shown)
    lines = [Text.assemble((f"{len(summary.records)} cases", "bold"), f" in {seconds:.1f} s: {counts} (of which {known} show a known finding)")]
    if summary.coverage is not None:
        hit, reachable = len(summary.coverage.hit & summary.coverage.reachable), len(summary.coverage.reachable)
        lines.append(Text(f"coverage: {hit} of {reachable} reachable cells (site, rank, occurrence) failed"))
        never = summary.coverage.never_reached(operations)
        if never:
            lines.append(Text(f"declared sites that these operations never reached: {', '.join(never)}", style="dim"))
    return Group(*lines)


def findings(summary: Summary) -> RenderableType:
    """The known findings that the run showed, and those that it should have shown and did not."""
    lines: list[RenderableType] = []
    titles = {entry.id: entry.title for entry in summary.register.entries}
    for name, records in sorted(summary.known.items()):
        simplest = min(records, key=lambda record: (record.case.ranks, record.case.coordinator, len(str(record.case.plan))))
        lines.append(Text.assemble((f"{name}", "cyan"), f" {titles[name]} ({len(records)} cases)"))
        lines.append(Padding(Text(simplest.case.replay_line(), style="dim", overflow="fold"), (0, 0, 0, 4)))
    for name in summary.gone():
        here = "on the version it was recorded for: fixed? The register must be mended" if summary.register.recorded_here(name) else "on another version"
        lines.append(Text.assemble((f"{name}", "yellow"), f" {titles[name]}: covered, and did not happen, {here}"))
    return Group(Text("\nknown findings", style="bold"), *lines) if lines else Group()


def complaints(summary: Summary) -> RenderableType:
    """What counts against the run: each distinct way to go wrong once, simplest plan first, with the line that replays it."""
    found = distinct(summary.bad())
    lines: list[RenderableType] = []
    for record, count in found[:_MOST_SHOWN]:
        mark = _MARKS[record.verdict.name]
        others = f" (and {count - 1} more like it)" if count > 1 else ""
        lines.append(Text.assemble((f"{record.verdict.name} ", mark[1]), str(record.case.plan) or "no fault at all", others))
        lines += [Padding(Text(complaint, overflow="fold"), (0, 0, 0, 4)) for complaint in record.complaints]
        lines.append(Padding(Text(record.case.replay_line(), style="bold", overflow="fold"), (0, 0, 0, 4)))
    if len(found) > _MOST_SHOWN:
        lines.append(Text(f"... and {len(found) - _MOST_SHOWN} more kinds; --json has all"))
    return Group(Text("\nwhat counts against the run", style="bold"), *lines) if lines else Group()


def story(console: Console, result: CaseResult) -> None:
    """Tells one case, rank by rank."""
    case, expectation = result.case, result.expectation
    console.print(Text.assemble(("plan  ", "dim"), str(case.plan) or "(no faults)"))
    group = f"coordinator {case.coordinator}" if case.grouped else "no process group"
    setting = f"{expectation.operation} on {case.ranks} rank(s), {group}, engine {case.engine}, workload {case.workload}, seed {case.seed}"
    console.print(Text.assemble(("case  ", "dim"), setting))
    named = "".join(f"\n      rank {rank}: {error}" for rank, error in expectation.failures.items())
    step = f" in step {expectation.step!r}" if expectation.step else ""
    console.print(Text.assemble(("owed  ", "dim"), f"{expectation.kind.value}{step}{named}"))
    for rank in expectation.ranks:
        console.print(Text(f"\nrank {rank}", style="bold"))
        for event in result.history.of_rank(rank):
            if event.kind == "fault":
                console.print(Text(f"  {event.time:10.3f} s  FAULT {event.detail}", style="red"))
            elif event.kind in ("begin", "end", "raised"):
                console.print(Text(f"  {event.time:10.3f} s  {event.kind} {event.operation if event.kind != 'raised' else event.site} {event.detail}"))
            elif event.kind == "enter":
                console.print(Text(f"  {event.time:10.3f} s  {event.site}{f' #{event.nth}' if event.nth > 1 else ''}", style="dim"))
        console.print(Text(f"  => {result.outcomes.get(rank, 'no outcome')}", overflow="fold"))
        if result.evidence.retry is not None and rank in result.evidence.retry:
            console.print(Text(f"  => healed, tried again: {result.evidence.retry[rank]}"))
    console.print()
    for judgement in result.judgements:
        name = "KNOWN" if judgement.known else judgement.verdict.name
        mark = _MARKS[name]
        note = f" ({judgement.known})" if judgement.known else "" if judgement.claimed else " (not claimed by the engine)"
        console.print(Text.assemble((f"{name:9}", mark[1]), f"{judgement.oracle}{note}  ", (judgement.reason, "dim")))
    if any(judgement.verdict is Verdict.VIOLATED for judgement in result.judgements):
        roles = observed(expectation, result.evidence.of(expectation), {one.rank for one in expectation.decisive})
        console.print(Text("\nas a signature of the findings register", style="dim"))
        for role, endings in roles.items():
            console.print(Text(f"  {role}: {' | '.join(sorted(endings))}", style="dim", overflow="fold"))
    console.print(Text.assemble(("\nagain ", "dim"), case.replay_line()))


