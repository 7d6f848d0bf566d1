"""A failed async save whose future nobody looks at is not silent."""

from __future__ import annotations

from pathlib import Path

import pytest
from launching import launch

PLAN = "async_save[2]/finish@0=raise(OSError:EIO)"
LINE = (
    "ckpt-harness: rank 0: async_save[2] failed (async_save[2]/writer.finish@0=raise(OSError:EIO) struck), "
    "and nobody looked at the future that async_save returned"
)


def run(root: Path, *arguments: str, **environment: str) -> list[str]:
    """The lines that the program prints, without torch's own."""
    status, output = launch(["-W", "ignore", "dropped_futures.py", *arguments], root, **environment)
    assert status == 0, output
    return [line for line in output.splitlines() if line.startswith(("ckpt-harness", "trained"))]


def test_the_environments_plan_reports_at_the_end_of_the_process(tmp_path: Path) -> None:
    """Which fault struck, and which future nobody looked at; also where the save was still running when the program ended."""
    assert run(tmp_path, "drop", "3", CKPT_HARNESS_PLAN=PLAN) == ["trained", LINE]
    assert run(tmp_path, "running", "2", CKPT_HARNESS_PLAN=PLAN) == ["trained", LINE]


@pytest.mark.parametrize("how", ["result", "exception", "callback"])
def test_a_program_that_looks_is_silent(how: str, tmp_path: Path) -> None:
    """Whether it takes the result, asks for the exception or is called back."""
    assert run(tmp_path, how, "3", CKPT_HARNESS_PLAN=PLAN) == ["trained"]


def test_inject_reports_at_the_end_of_the_block(tmp_path: Path) -> None:
    """In one line for all saves that failed."""
    lines = run(tmp_path, "drop", "5", "finish@0#2x*=raise(OSError:EIO)")
    names = "async_save[2], async_save[3], async_save[4] and 1 more"
    why = "writer.finish@0#2x*=raise(OSError:EIO) struck"
    assert lines == [f"ckpt-harness: rank 0: {names} failed ({why}), and nobody looked at the futures that async_save returned", "trained"]


def test_a_save_that_succeeds_needs_no_look(tmp_path: Path) -> None:
    """A fault that struck and did no harm, too."""
    assert run(tmp_path, "drop", "2", "finish@0=delay(0.001)") == ["trained"]
