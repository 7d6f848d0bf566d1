"""What crashes leave, on a terminal and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ckpt_harness.campaigns.crashes import UNSAFE, Crashes
from ckpt_harness.campaigns.recording import PLACE
from ckpt_harness.campaigns.shortest import Example
from ckpt_harness.cases import printed
from ckpt_harness.disk.shown import SHOWN, Shown
from ckpt_harness.engines.names import find_engine
from ckpt_harness.report.console import print_table, say
from ckpt_harness.report.shown import ABOUT, legend, style_of


def show_crashes(console: Console, crashes: Crashes, known: Mapping[Shown, str], seconds: float) -> int:
    """Prints what crashes leave.

    Args:
        console: where to print.
        crashes: the crashes.
        known: what readers may get that is a known finding -> its id.
        seconds: how long the command took.

    Returns:
        The exit status: 1 if a claim is violated, and the violation is not known.
    """
    say(console, [Text("what a reader may get after a crash", style="italic"), *legend(crashes.shown), Text()])
    print_table(console, _points(crashes))
    console.print()
    for example in crashes.examples:
        say(console, _example(example))
        console.print()
    capabilities = find_engine(crashes.scene.engine).capabilities
    status = 0
    for claim, kind, capability in crashes.violated():
        verdict = _verdict(known.get(kind), claimed=capability is None or capability in capabilities)
        fails = verdict == "VIOLATED"
        needed = "" if capability is None else f" [{capability.value}]"
        say(console, [Text.assemble((f"{verdict}: ", "bold red" if fails else "dim"), f"{claim}{needed}; a reader may get: {ABOUT[kind]}")])
        status = 1 if fails else status
    say(console, [_totals(crashes, seconds)])
    return status


def _verdict(finding: str | None, *, claimed: bool) -> str:
    """How a broken claim counts: it is known, it is new, or the engine does not claim the capability that it takes."""
    if finding is not None:
        return f"known ({finding})"
    return "VIOLATED" if claimed else "not claimed"


def _totals(crashes: Crashes, seconds: float) -> Text:
    extent = "every state that the model allows" if crashes.exhaustive else "a sample of the states (see the points marked ~)"
    if crashes.interrupted:
        extent = "interrupted"
    onto = "overwrite" if crashes.scene.overwrite else "fresh directory"
    save = f"{crashes.scene.ranks} rank{'s' * (crashes.scene.ranks != 1)}, {onto}, model {crashes.model}"
    return Text(f"{save}: {len(crashes.points)} points, {crashes.judged} different states loaded, {extent}, {seconds:.1f} s")


def _points(crashes: Crashes) -> Table:
    """A line for each point: after how many operations, the last operation, and how many of the states show a reader what."""
    kinds = [kind for kind in SHOWN if crashes.shown[kind]]
    table = Table(box=None, padding=(0, 1, 0, 0), header_style="dim")
    table.add_column("after", justify="right")
    table.add_column("operation")
    for kind in kinds:
        table.add_column(kind, justify="right", no_wrap=True)
    table.add_column("states", justify="right", no_wrap=True)
    for point in crashes.points:
        cells = [Text(str(point.shown[kind]) if kind in point.shown else "", style=style_of(kind)) for kind in kinds]
        operation = "(nothing yet)" if point.op is None else str(point.op).replace(f"{PLACE}/", "")
        table.add_row(str(point.number), operation, *cells, f"{'' if point.exhaustive else '~'}{point.possible}")
    return table


def _example(example: Example) -> Iterator[Text]:
    """The shortest way to what a reader may get."""
    yield Text.assemble((example.shown, style_of(example.shown)), f": {ABOUT[example.shown]}; {_when(example)}")
    yield from (Text(f"  {op}") for op in example.ops)
    if example.shown in UNSAFE or example.shown in ("error", "nothing"):
        yield from (Text(f"  left  {text}", style="dim") for text in example.left)
        yield from (Text(f"  {line}", style="dim") for line in printed.shown(example.printed))


def _when(example: Example) -> str:
    """When the crash comes."""
    if example.number == 0:
        return "a crash before the first operation"
    number = f"{example.number} operation{'s' * (example.number != 1)}"
    return f"a crash after {number}, of which these matter:" if example.ops else f"a crash after {number}, of which none matters"


def as_json(crashes: Crashes, known: Mapping[Shown, str]) -> dict[str, Any]:
    """What crashes leave, as plain data.

    Args:
        crashes: the crashes.
        known: what readers may get that is a known finding -> its id.

    Returns:
        The scene, the points in order, the shortest way to each thing that readers may get, and the broken claims.
    """
    return {
        "scene": {"engine": crashes.scene.engine, "workload": crashes.scene.workload, "ranks": crashes.scene.ranks, "overwrite": crashes.scene.overwrite},
        "seed": crashes.scene.seed,
        "model": crashes.model,
        "exhaustive": crashes.exhaustive and not crashes.interrupted,
        "interrupted": crashes.interrupted,
        "states": crashes.judged,
        "points": [
            {
                "after": point.number,
                "op": None if point.op is None else str(point.op),
                "shown": dict(point.shown),
                "possible": point.possible,
                "exhaustive": point.exhaustive,
            }
            for point in crashes.points
        ],
        "examples": [
            {"shown": example.shown, "after": example.number, "ops": [str(op) for op in example.ops], "left": list(example.left)}
            for example in crashes.examples
        ],
        "violated": [
            {"claim": claim, "shown": kind, "capability": None if needed is None else needed.value, "known": known.get(kind)}
            for claim, kind, needed in crashes.violated()
        ],
    }
