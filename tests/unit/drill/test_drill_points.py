"""Which points are tried."""

from __future__ import annotations

from pathlib import Path

import pytest

from ckpt_harness.drill.evidence import Point
from ckpt_harness.drill.points import choose, shape_of
from ckpt_harness.errors import UsageError


def _point(step: int, role: str = "0", shape: str = "s", moment: str = "before") -> Point:
    path = f"step-{step}.json"
    return Point(f"file.write({path})@{role}#1", role, "file.write", path, moment, shape)


def _steps(points: tuple[Point, ...]) -> list[str]:
    return [point.path for point in points]


def test_equal_points_are_tried_once() -> None:
    """The same operation of the same role, while the state directory looks alike; the first counts."""
    points = [_point(2), _point(4), _point(6, shape="other"), _point(8, role="1"), _point(9, role="2"), _point(10)]
    choice = choose(points)
    assert _steps(choice.points) == ["step-2.json", "step-6.json", "step-8.json", "step-10.json"]
    assert choice.left_out == {"equal to another (--points all tries all)": 2}
    assert choose(points, every_equal=True).points == tuple(points)


def test_points_are_thinned_out_as_the_user_wishes() -> None:
    """What is left out is counted."""
    points = [_point(step, shape=str(step)) for step in range(1, 10)]
    assert _steps(choose(points, every=4).points) == ["step-1.json", "step-5.json", "step-9.json"]
    drawn = choose(points, sample=3, seed=5)
    assert drawn == choose(points, sample=3, seed=5)
    assert len(drawn.points) == 3
    assert drawn.left_out == {"--sample 3 --seed 5": 6}


def test_a_point_is_found_by_its_name_or_by_a_pattern() -> None:
    """A name may hold brackets, which mean something else in a pattern; of a pattern, equal points are tried once."""
    points = [_point(2), _point(4), Point("save[1]/writer.finish@0#1", "0", "writer.finish", "", "before")]
    assert choose(points, only="save[1]/writer.finish@0#1").points == (points[2],)
    assert choose(points, only="file.write(step-4.json)@0#1").points == (points[1],)
    assert choose(points, only="file.*").points == (points[0],)
    with pytest.raises(UsageError, match=r"no point is named 'file.delete\*'; the undisturbed run has points such as 'file.write"):
        choose(points, only="file.delete*")


def test_directories_look_alike_but_for_their_numbers(tmp_path: Path) -> None:
    """A number with more digits, or a further checkpoint, makes a difference; a fourth does not."""
    shapes = []
    for step in (2, 4, 6, 8, 10):
        (tmp_path / f"step-{step}").mkdir()
        shapes.append(shape_of(tmp_path))
    assert shapes[2] == shapes[3]
    assert len(set(shapes)) == 4
