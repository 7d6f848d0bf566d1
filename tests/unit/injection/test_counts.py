"""Counts: in memory, and in a shared file once they have been pickled."""

from __future__ import annotations

import gc
import pickle
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pytest

from ckpt_harness.injection.counts import Counts


@pytest.fixture(autouse=True)
def own_temporary_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The directory of the counts' file."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def test_keys_are_counted_from_one() -> None:
    """Each key has its own count; one call may count several keys."""
    counts = Counts()
    assert counts.next("a") == [1]
    assert counts.next("a", "b") == [2, 1]


def test_records_are_kept_in_order() -> None:
    """``logged`` returns a copy."""
    counts = Counts()
    counts.log(["x", 1])
    counts.logged().append(["never"])
    counts.log(["y", 2])
    assert counts.logged() == [["x", 1], ["y", 2]]


def test_counts_that_were_never_pickled_need_no_file(own_temporary_directory: Path) -> None:
    """The usual case uses no disk."""
    Counts().next("a")
    assert list(own_temporary_directory.iterdir()) == []


def test_the_original_and_its_copies_count_together() -> None:
    """A new copy continues where the copy before stopped."""
    original = Counts()
    original.next("a")
    original.log(["first"])
    for expected in (2, 4, 6):
        copy = pickle.loads(pickle.dumps(original))
        assert copy.next("a") == [expected]
        assert original.next("a") == [expected + 1]
    copy.log(["second"])
    assert original.logged() == [["first"], ["second"]]


def test_a_copy_in_another_process_counts_too() -> None:
    """The original knows the records of the copy."""
    original = Counts()
    original.next("a")
    code = "import pickle, sys; counts = pickle.load(sys.stdin.buffer); counts.log(counts.next('a'))"
    subprocess.run([sys.executable, "-c", code], input=pickle.dumps(original), check=True, timeout=250)
    assert original.next("a") == [3]
    assert original.logged() == [[2]]


def test_the_file_goes_away_with_the_original(own_temporary_directory: Path) -> None:
    """No file is left behind; a copy that lives longer continues alone, from its last state."""
    original = Counts()
    original.next("a")
    original.log(["first"])
    copy = pickle.loads(pickle.dumps(original))
    assert len(list(own_temporary_directory.iterdir())) == 1
    del original
    gc.collect()
    assert copy.next("a") == [2]
    assert copy.logged() == [["first"]]
    assert list(own_temporary_directory.iterdir()) == []


@pytest.mark.parametrize("pickled", [False, True], ids=["in memory", "in a file"])
def test_threads_lose_no_count(pickled: bool) -> None:
    """Four writer threads of one rank share the counts."""
    counts = Counts()
    if pickled:
        pickle.dumps(counts)
    seen: list[int] = []
    threads = [threading.Thread(target=lambda: seen.extend(counts.next("a")[0] for _ in range(50))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert sorted(seen) == list(range(1, 201))
