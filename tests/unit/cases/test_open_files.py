"""Which open files are charged to a case."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ckpt_harness.cases import open_files as module
from ckpt_harness.cases.open_files import OpenFiles
from ckpt_harness.worlds import descriptors
from ckpt_harness.worlds.base import RankResult

needs_proc = pytest.mark.skipif(descriptors.open_files() is None, reason="this system does not show descriptors")


@needs_proc
def test_of_ranks_in_this_process_new_files_of_the_case_count(tmp_path: Path) -> None:
    """Not what was open before, nor files elsewhere, nor pipes; a file that was removed while it was open counts."""
    place = tmp_path / "case"
    place.mkdir()
    with (place / "before").open("w"):
        held = OpenFiles(place, in_this_process=True)
        (place / "before").unlink()
        with (place / "after").open("w"), (tmp_path / "elsewhere").open("w"):
            (place / "after").unlink()
            pipe = os.pipe()
            held.look([RankResult(0, "returned")])
            for end in pipe:
                os.close(end)
    assert list(held.left()) == ["after is still open"]
    assert held.seen


def test_ranks_that_are_processes_answer_for_themselves(tmp_path: Path) -> None:
    """A file that this process has open is none of theirs; a rank that hangs is not asked."""
    held = OpenFiles(tmp_path, in_this_process=False)
    with (tmp_path / "here").open("w"):
        held.look([RankResult(0, "returned", left_open=(str(tmp_path / "there"),)), RankResult(1, "hung")])
    assert list(held.left()) == ["rank 0: there is still open"]
    assert held.seen


@pytest.mark.parametrize("in_this_process", [True, False])
def test_without_proc_nothing_is_said_and_nothing_was_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, in_this_process: bool) -> None:
    """The story then says that open files were not looked at."""
    monkeypatch.setattr(descriptors, "_HOME", tmp_path / "missing")
    assert module.open_files() is None
    held = OpenFiles(tmp_path, in_this_process=in_this_process)
    held.look([RankResult(0, "returned")])
    assert not held.seen
    assert list(held.left()) == []
