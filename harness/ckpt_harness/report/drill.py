"""What a drill has found, on a terminal and as JSON Lines."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ckpt_harness.drill.campaign import Drilled, Outcome
from ckpt_harness.drill.checkpoints import without_numbers
from ckpt_harness.drill.evidence import Checkpoint, Point, Start
from ckpt_harness.drill.oracles import ORACLES, removed_the_newest
from ckpt_harness.drill.settings import Settings
from ckpt_harness.report.console import print_table, say

_UNSEEN = "what native code writes (other than torch.save and safetensors), and what is written to a descriptor of os.open"
_LINES = 3
"""Lines of the output of a failed start that are shown."""


def show_drill(console: Console, drilled: Drilled, settings: Settings, options: Sequence[str], seconds: float) -> int:
    """Prints what a drill has found.

    Args:
        console: where to print.
        drilled: what was found.
        settings: the drill.
        options: the options of the command line that a line which shows a violation again must repeat.
        seconds: how long the drill took.

    Returns:
        The exit status: 1 if a claim is violated; 3 if none is, and no try reached its point.
    """
    say(console, _beginning(drilled))
    console.print()
    print_table(console, _table(drilled))
    console.print()
    for outcome, oracle, more in _distinct(drilled):
        say(console, _story(outcome, oracle, more, settings, options))
        console.print()
    for deaths, reasons in drilled.debris:
        if reasons:
            again = f"kill-job at {deaths.point.name}, ten times in a row"
            say(console, [Text.assemble(("VIOLATED retention", "bold red"), f": {again}"), *(Text(f"    {reason}") for reason in reasons)])
            console.print()
    say(console, _end(drilled, seconds))
    return exit_status(drilled)


def exit_status(drilled: Drilled) -> int:
    """The exit status of the command: 1 if a claim is violated; 3 if none is, and no try reached its point."""
    if drilled.violated or any(reasons for _, reasons in drilled.debris):
        return 1
    return 0 if any(outcome.reached for outcome in drilled.outcomes) else 3


def _beginning(drilled: Drilled) -> Iterator[Text]:
    reference = drilled.reference
    ranks = len(reference.ranks)
    yield Text(f"undisturbed: {ranks} rank{'s' * (ranks != 1)}, {reference.seconds:.1f} s, {len(reference.points)} points")
    if reference.knows_checkpoints:
        yield Text(f"the last checkpoint: {reference.final}")
        removed = removed_the_newest(reference)
        if removed:
            yield Text(f"note: the undisturbed run removed {removed}, which was newer", style="yellow")
    else:
        yield Text("no whole checkpoint was seen, so that resume and retention are not judged; --whole COMMAND says what is a whole checkpoint")
    left_out = [f"{count} {why}" for why, count in drilled.choice.left_out.items()]
    yield Text(f"points to try: {len(drilled.choice.points)}" + (f"; left out: {', '.join(left_out)}" if left_out else ""))
    yield Text(f"cannot be seen: {'; '.join((*drilled.unseen, _UNSEEN))}", style="dim")


def doing(point: Point) -> str:
    """What the program was doing at a point, with numbers left out: points with the same text are one line of the table.

    Example:
        >>> doing(Point("file.rename(step-4.json)@0#1", "0", "file.rename", "step-4.json", "before"))
        'file.rename(step-N.json)'
    """
    if not point.path and not point.site.startswith("file."):
        return without_numbers(point.name.partition("/")[0]).replace("[N]", "") + f"/{point.site}" if "/" in point.name else point.site
    return f"{point.site}({without_numbers(point.path)})"


def _table(drilled: Drilled) -> Table:
    """A line for each thing that the program was doing, a column for each oracle: how many tries break its claim."""
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("what the program was doing")
    table.add_column("tries", justify="right", no_wrap=True)
    for oracle in ORACLES:
        table.add_column(oracle, justify="right", no_wrap=True)
    rows: dict[str, list[Outcome]] = {}
    for outcome in drilled.outcomes:
        rows.setdefault(doing(outcome.evidence.point), []).append(outcome)
    for name, outcomes in rows.items():
        table.add_row(name, str(len(outcomes)), *(_cell(outcomes, oracle) for oracle in ORACLES))
    return table


def _cell(outcomes: Sequence[Outcome], oracle: str) -> Text:
    said = [outcome.reasons[oracle] for outcome in outcomes if outcome.reasons.get(oracle) is not None]
    broken = sum(1 for reasons in said if reasons)
    if broken:
        return Text(str(broken), style="bold red")
    return Text("ok", style="green") if said else Text("-", style="dim")


def _distinct(drilled: Drilled) -> Iterator[tuple[Outcome, str, int]]:
    """One outcome for each oracle, effect and thing that the program was doing; and how many more there are."""
    counts: Counter[tuple[str, str, str]] = Counter()
    first: dict[tuple[str, str, str], Outcome] = {}
    for outcome in drilled.violated:
        for oracle, reasons in outcome.reasons.items():
            if reasons:
                key = oracle, outcome.evidence.effect, doing(outcome.evidence.point)
                counts[key] += 1
                first.setdefault(key, outcome)
    for key, outcome in first.items():
        yield outcome, key[0], counts[key] - 1


def _story(outcome: Outcome, oracle: str, more: int, settings: Settings, options: Sequence[str]) -> Iterator[Text]:
    evidence = outcome.evidence
    also = f" (and at {more} more point{'s' * (more > 1)} of this kind)" if more else ""
    yield Text.assemble((f"VIOLATED {oracle}", "bold red"), f": {evidence.effect} at {evidence.point.name}{also}")
    yield from (Text(f"    {reason}") for reason in outcome.reasons[oracle] or ())
    for line in story(outcome):
        yield Text(f"    {line}", style="dim")
    yield from (Text(f"    {line}") for line in again(outcome, settings, options))


def story(outcome: Outcome) -> Iterator[str]:
    """What happened, in order: what the strike left, what was loaded, how the starts ended.

    Args:
        outcome: the outcome.
    """
    evidence = outcome.evidence
    if evidence.struck is not None:
        yield f"the struck start {_ending(evidence.struck)}"
    if evidence.reference.knows_checkpoints:
        yield f"then on disk: {_on_disk(evidence.left)}"
    for number, start in enumerate(evidence.starts, 1):
        yield f"start {number} {_ending(start)}"
        if not start.ended_well:
            yield from (f"  | {line}" for line in start.printed.splitlines()[-_LINES:])


def _ending(start: Start) -> str:
    read = list(dict.fromkeys(read.path for read in start.reads))
    files = f"read {', '.join(read[:3])}{f' and {len(read) - 3} more' if len(read) > 3 else ''}; " if read else ""
    if start.late:
        return f"{files}had to be ended after {start.seconds:.1f} s{f': {start.waiting}' if start.waiting else ''}"
    return f"{files}ended with status {start.status} after {start.seconds:.1f} s"


def _on_disk(left: Sequence[Checkpoint]) -> str:
    return "; ".join(f"{found.name} {'whole' if found.whole else f'not whole ({found.why_not})'}" for found in left) or "no checkpoint"


def again(outcome: Outcome, settings: Settings, options: Sequence[str]) -> list[str]:
    """Two lines that show a violation again: one with ``drill``, one in a plain shell, on the state directory itself.

    Args:
        outcome: the outcome.
        settings: the drill.
        options: the options of the command line that the first line repeats.
    """
    evidence = outcome.evidence
    words = shlex.join(settings.words)
    restart = words if settings.restart_with is None else shlex.join(settings.restart_with)
    drill = shlex.join(["ckpt-harness", "drill", *options, "--effects", evidence.effect, "--only", evidence.point.name, "--", *settings.words])
    strike = shlex.quote(f"{evidence.effect} at {evidence.point.name}")
    variables = f"CKPT_HARNESS_STATE={shlex.quote(settings.state)} CKPT_HARNESS_STRIKE={strike} CKPT_HARNESS_STRUCK=$(mktemp -u)"
    return [drill, f'PYTHONPATH="$(python -m ckpt_harness.drill.start):$PYTHONPATH" {variables} {words}; {restart}']


def _end(drilled: Drilled, seconds: float) -> Iterator[Text]:
    for outcome in drilled.unreached[:3]:
        yield Text(f"not reached: {outcome.evidence.effect} at {outcome.evidence.point.name}", style="yellow")
    if len(drilled.unreached) > 3:
        yield Text(f"not reached: {len(drilled.unreached) - 3} more", style="yellow")
    broken = len(drilled.violated) + sum(1 for _, reasons in drilled.debris if reasons)
    what = f"{broken} violated" if broken else "no claim is violated"
    yield Text(f"{len(drilled.outcomes)} tries, {len(drilled.choice.points)} points, {drilled.runs} starts of the command, {seconds:.1f} s: {what}")


def as_json(outcome: Outcome, settings: Settings, options: Sequence[str]) -> dict[str, Any]:
    """An outcome as plain data: a line of the file of ``--json``.

    Args:
        outcome: the outcome.
        settings: the drill.
        options: the options of the command line that a line which shows the outcome again must repeat.
    """
    evidence = outcome.evidence
    return {
        "point": evidence.point.name,
        "effect": evidence.effect,
        "rank": evidence.point.role,
        "doing": doing(evidence.point),
        "reached": outcome.reached,
        "violated": {oracle: list(reasons) for oracle, reasons in outcome.reasons.items() if reasons},
        "holds": [oracle for oracle, reasons in outcome.reasons.items() if reasons == ()],
        "story": list(story(outcome)),
        "again": again(outcome, settings, options) if outcome.violated else [],
    }
