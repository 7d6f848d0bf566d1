"""Copies of state directories, and the words that name them."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from ckpt_harness.drill.places import Substitution, copy_tree, digest, remove_tree


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        ("runs/1", "/copy/1"),
        ("./runs/1", "/copy/1"),
        ("--dir=runs/1/", "--dir=/copy/1/"),
        ("a:runs/1:b", "a:/copy/1:b"),
        ("runs/10", "runs/10"),
        ("runs/1.old", "runs/1.old"),
        ("runs/1-old", "runs/1-old"),
        ("other/runs/1", "other/runs/1"),
        ("cd x && train 'runs/1'", "cd x && train '/copy/1'"),
    ],
)
def test_only_the_path_itself_is_replaced(word: str, expected: str) -> None:
    """Not a longer name, nor the end of another path."""
    assert Substitution("runs/1", "/copy/1").of(word) == expected


def test_an_absolute_path_is_replaced_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever way the user wrote --state."""
    monkeypatch.chdir(tmp_path)
    assert Substitution("runs/1", "/copy/1").of(f"{tmp_path}/runs/1/x") == "/copy/1/x"
    assert Substitution(f"{tmp_path}/runs/1", "/copy/1").words([f"{tmp_path}/runs/1"]) == ["/copy/1"]


def test_a_copy_has_links_times_and_hard_links(tmp_path: Path) -> None:
    """And shares nothing with the original."""
    origin = tmp_path / "origin"
    (origin / "below").mkdir(parents=True)
    (origin / "below" / "a").write_text("one", "utf-8")
    os.link(origin / "below" / "a", origin / "b")
    (origin / "latest").symlink_to("below")
    os.utime(origin / "b", ns=(5, 7))
    copy_tree(origin, tmp_path / "copy")
    copy = tmp_path / "copy"
    assert digest(copy) == digest(origin)
    assert (copy / "latest").readlink() == Path("below")
    assert (copy / "b").stat().st_mtime_ns == 7
    assert (copy / "b").samefile(copy / "below" / "a")
    (copy / "b").write_text("two", "utf-8")
    assert (origin / "b").read_text("utf-8") == "one"
    assert digest(copy) != digest(origin)
    remove_tree(copy)
    assert not copy.exists()


def test_a_directory_that_is_not_there_has_an_empty_copy(tmp_path: Path) -> None:
    """The first start of a job begins without a state."""
    copy_tree(tmp_path / "nowhere", tmp_path / "copy")
    assert not (tmp_path / "copy").exists()
