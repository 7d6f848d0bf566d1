"""Which points are tried: equal points once, thinned out as the user wishes, and what was left out is counted."""

from __future__ import annotations

import fnmatch
import os
import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from ckpt_harness.drill.checkpoints import without_numbers
from ckpt_harness.drill.evidence import Point
from ckpt_harness.errors import UsageError, quoted

_MANY = 3
"""So many files of one kind, and more, look alike."""


def shape_of(state: Path) -> str:
    """What a state directory looks like, with digits left out: two moments of a period at which it looks alike are the same moment.

    Args:
        state: the directory.
    """
    counts: Counter[str] = Counter()
    for place, directories, names in os.walk(state):
        inside = os.path.relpath(place, state)
        for name in (*names, *(f"{directory}/" for directory in directories)):
            counts[without_numbers(f"{inside}/{name}")] += 1
    return " ".join(f"{min(count, _MANY)}x{name}" for name, count in sorted(counts.items()))


def kind_of(point: Point, leader: str = "0") -> tuple[str, ...]:
    """What equal points have in common: the role, the operation, and the moment of the period.

    Args:
        point: a point.
        leader: the rank that differs from the others by its duties.

    Example:
        >>> first = Point("file.write(step-2.json)@1#1", "1", "file.write", "step-2.json", "before")
        >>> second = Point("file.write(step-4.json)@2#1", "2", "file.write", "step-4.json", "before")
        >>> kind_of(first) == kind_of(second)
        True
    """
    role = "leader" if point.role == leader else "child" if point.role.endswith("child") else "other"
    return role, point.site, without_numbers(point.path), point.moment, point.shape


@dataclass(frozen=True)
class Choice:
    """The points to try, and how many were left out for which reason.

    Attributes:
        points: the points to try, in the order of the undisturbed run.
        left_out: reason -> the number of points.
    """

    points: tuple[Point, ...]
    left_out: dict[str, int]


def choose(
    points: Sequence[Point], *, every_equal: bool = False, every: int = 1, sample: int | None = None, seed: int = 0, only: str | None = None
) -> Choice:
    """Chooses the points to try.

    Args:
        points: the points of the undisturbed run, in order.
        every_equal: whether to try equal points, too.
        every: try every n-th.
        sample: try at most so many, drawn with the seed.
        seed: seed of the sample.
        only: a name, or a pattern, of the points to try.

    Raises:
        UsageError: no point has such a name.
    """
    left_out: dict[str, int] = {}
    chosen = list(points)
    if only is not None:
        chosen = _named(chosen, only)
        _note(left_out, "other names (--only)", len(points) - len(chosen))
    is_a_name = only is not None and any(point.name == only for point in points)
    if not every_equal and not is_a_name:
        before = len(chosen)
        chosen = list(_first_of_each(chosen))
        _note(left_out, "equal to another (--points all tries all)", before - len(chosen))
    if every > 1:
        before = len(chosen)
        chosen = chosen[::every]
        _note(left_out, f"--every {every}", before - len(chosen))
    if sample is not None and sample < len(chosen):
        kept = sorted(random.Random(seed).sample(range(len(chosen)), sample))
        _note(left_out, f"--sample {sample} --seed {seed}", len(chosen) - sample)
        chosen = [chosen[number] for number in kept]
    return Choice(tuple(chosen), left_out)


def _note(left_out: dict[str, int], why: str, count: int) -> None:
    if count:
        left_out[why] = count


def _named(points: list[Point], only: str) -> list[Point]:
    found = [point for point in points if point.name == only] or [point for point in points if fnmatch.fnmatchcase(point.name, only)]
    if not found:
        sites = ", ".join(sorted({point.site for point in points})[:6])
        raise UsageError(f"no point is named {quoted(only)}; the undisturbed run has points such as {quoted(points[0].name)} ({sites})")
    return found


def _first_of_each(points: Iterable[Point]) -> Iterable[Point]:
    seen = set()
    for point in points:
        kind = kind_of(point)
        if kind not in seen:
            seen.add(kind)
            yield point
