"""What crashes leave, on a terminal and as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ckpt_harness.campaigns.crashes import UNSAFE, Crashes, Point
from ckpt_harness.campaigns.shortest import Example
from ckpt_harness.disk.shown import SHOWN, Shown
from ckpt_harness.engines.names import find_engine

_STYLES: dict[Shown, str] = {"new": "green", "old": "green", "nothing": "yellow", "error": "yellow"}
_ABOUT: dict[Shown, str] = {
    "new": "the new checkpoint",
    "old": "the old checkpoint",
    "nothing": "no checkpoint: there is no commit marker",
    "error": "a clean error on every rank, though there is a commit marker",
    "mixture": "success, with values of two saves",
    "wrong": "success, with values of no save",
    "disagreement": "success on some ranks, an error on others",
    "hang": "no end",
}


def show_crashes(console: Console, found: Crashes, known: Mapping[Shown, str], seconds: float) -> int:
    """Prints what was found.

    Args:
        console: where.
        found: the crashes.
        known: what readers may get that is a known finding -> its id.
        seconds: how long it took.

    Returns:
        The exit status: 1 if a claim is violated, and that is not known.
    """
    console.print(_points(found))
    for example in found.examples:
        console.print(Text("\n").join(_example(example)))
        console.print()
    status = 0
    capabilities = find_engine(found.scene.engine).capabilities
    for claim, kind, capability in found.violated():
        claimed = capability is None or capability in capabilities
        fails = claimed and kind not in known
        verdict = f"known ({known[kind]})" if kind in known else "VIOLATED" if claimed else "not claimed"
        wanted = "" if capability is None else f" [{capability.value}]"
        console.print(Text.assemble((f"{verdict}: ", "bold red" if fails else "dim"), f"{claim}{wanted}: {_ABOUT[kind]}"))
        status = 1 if fails else status
    how = "every state that the model allows" if found.exhaustive else "a sample of the states (see the points marked ~)"
    onto = "overwrite" if found.scene.overwrite else "fresh directory"
    console.print(
        f"{found.scene.ranks} ranks, {onto}, model {found.model}: {len(found.points)} points, {found.judged} different states loaded, {how}, {seconds:.1f} s"
    )
    return status


def _points(found: Crashes) -> Table:
    kinds = [kind for kind in SHOWN if found.shown[kind]]
    table = Table(title="after a crash, a reader may get", title_justify="left", box=None, padding=(0, 2, 0, 0), header_style="dim")
    table.add_column("after", justify="right")
    table.add_column("operation", overflow="fold")
    for kind in kinds:
        table.add_column(kind, justify="right")
    table.add_column("states", justify="right")
    for point in found.points:
        cells = [Text(str(point.shown[kind]) if kind in point.shown else "", style=_STYLES.get(kind, "bold red")) for kind in kinds]
        table.add_row(str(point.number), str(point.op or "(nothing yet)"), *cells, _possible(point))
    return table


def _possible(point: Point) -> str:
    return f"{'' if point.exhaustive else '~'}{point.possible}"


def _example(example: Example) -> Iterator[Text]:
    style = _STYLES.get(example.shown, "bold red")
    yield Text.assemble((f"{example.shown}", style), f": {_ABOUT[example.shown]}; a crash after {example.number} operations, of which these matter:")
    yield from (Text(f"  {op}") for op in example.ops)
    if not example.ops:
        yield Text("  (none)")
    if example.shown in UNSAFE or example.shown in ("error", "nothing"):
        yield from (Text(f"  left  {text}", style="dim") for text in example.left)


def as_json(found: Crashes, known: Mapping[Shown, str]) -> dict[str, Any]:
    """What was found as plain data: the scene, the points in order, the shortest way to each thing that readers may get, and the claims that break."""
    return {
        "scene": {"engine": found.scene.engine, "workload": found.scene.workload, "ranks": found.scene.ranks, "overwrite": found.scene.overwrite},
        "seed": found.scene.seed,
        "model": found.model,
        "exhaustive": found.exhaustive,
        "states": found.judged,
        "points": [
            {
                "after": point.number,
                "op": None if point.op is None else str(point.op),
                "shown": dict(point.shown),
                "possible": point.possible,
                "exhaustive": point.exhaustive,
            }
            for point in found.points
        ],
        "examples": [
            {"shown": one.shown, "after": one.number, "ops": [str(op) for op in one.ops], "left": list(one.left)} for one in found.examples
        ],
        "violated": [
            {"claim": claim, "shown": kind, "capability": None if needed is None else needed.value, "known": known.get(kind)}
            for claim, kind, needed in found.violated()
        ],
    }
