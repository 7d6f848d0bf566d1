"""Processes that share the work of a sweep."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from works import EndProcesses, NeverBegins

from ckpt_harness.campaigns.pools.base import CHUNK, PoolError
from ckpt_harness.campaigns.pools.local import LocalPool


def test_ctrl_c_while_workers_start_leaves_no_process_and_no_traceback(tmp_path: Path) -> None:
    """Ctrl-C reaches the server that forks the workers too, while it imports what it preloads."""
    started = tmp_path / "started"
    os.mkfifo(started)
    module = f"import os, pathlib, signal\npathlib.Path({str(started)!r}).write_text(str(os.getpid()))\nsignal.pause()\n"
    (tmp_path / "waits.py").write_text(module, encoding="utf-8")
    program = [sys.executable, str(Path(__file__).with_name("interrupted_pool.py"))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True, env=environment, start_new_session=True) as parent:
        handle = os.pidfd_open(int(started.read_text(encoding="utf-8")))
        try:
            os.killpg(parent.pid, signal.SIGINT)
            _, printed = parent.communicate(timeout=250)
            assert (parent.returncode, printed) == (130, "")
            assert select.select([handle], [], [], 60)[0]
        finally:
            os.close(handle)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM], ids=lambda end: end.name)
def test_a_command_that_is_ended_takes_its_workers_along(end: signal.Signals) -> None:
    """The busy one and the one that waits for work."""
    program = [sys.executable, str(Path(__file__).with_name("pool.py"))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        handles = [os.pidfd_open(pid) for pid in pids]
        try:
            assert len(pids) == 2
            parent.send_signal(end)
            parent.wait(60)
            assert [pid for pid, handle in zip(pids, handles, strict=True) if not select.select([handle], [], [], 60)[0]] == []
        finally:
            for handle in handles:
                os.close(handle)


def _started_with(directory: Path) -> Iterator[int]:
    """The processes whose temporary files go to a directory."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if entry.name.isdigit() and f"TMPDIR={directory}\0".encode() in (entry / "environ").read_bytes():
                yield int(entry.name)


def test_ctrl_c_ends_workers_and_their_real_ranks(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """In the middle of the cases: the command sums up what ran, and leaves no process and no file."""
    temporary, lines = tmp_path_factory.mktemp("t"), tmp_path / "lines"  # a short path: names of sockets have at most 107 characters
    os.mkfifo(lines)
    words = ["sweep", "--world", "processes", "--jobs", "2", "--ranks", "2", "--op", "load", "--workload", "replicated", "--json", str(lines)]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TMPDIR": str(temporary)}
    program, pipe = [sys.executable, "-m", "ckpt_harness", *words], subprocess.PIPE
    with subprocess.Popen(program, stdout=pipe, stderr=pipe, text=True, env=environment, start_new_session=True) as command:
        with lines.open("rb", buffering=0) as records:
            assert records.read(1) == b"{"
            handles = [os.pidfd_open(pid) for pid in _started_with(temporary) if pid != command.pid]
            os.killpg(command.pid, signal.SIGINT)
            while records.read(1 << 16):
                pass
        try:
            printed, complaints = command.communicate(timeout=250)
            assert command.returncode == 130, complaints
            assert "Interrupted after " in complaints
            assert "coverage: " in printed
            assert len(handles) >= 4  # two workers, and a server of ranks for each
            assert [handle for handle in handles if not select.select([handle], [], [], 60)[0]] == []
        finally:
            for handle in handles:
                os.close(handle)
    assert list(temporary.iterdir()) == []


def test_items_that_end_their_process_are_named_and_all_others_are_done(tmp_path: Path) -> None:
    """An item is named after the second time; an item during which a process ended once is done in the next process."""
    items = [*map(str, range(CHUNK)), "kill", "a", f"once {tmp_path / 'marker'}", "b", "exit"]
    results = list(LocalPool(2).run(EndProcesses(), items))
    lost = {"kill": "kill: ended by SIGKILL, twice in succession", "exit": "exit: ended with status 3, twice in succession"}
    assert sorted(results) == sorted(lost.get(item, item) for item in items)


def test_an_error_in_another_process_is_raised_with_its_traceback() -> None:
    """Of the same class, and with the results before it."""
    results = LocalPool(2).run(EndProcesses(), ["a", "refuse", "b"])
    assert next(results) == "a"
    with pytest.raises(LookupError, match="refuse") as caught:
        next(results)
    assert "in _do" in str(caught.value.__cause__)


def test_a_process_that_ends_before_it_works_is_an_error_of_the_pool() -> None:
    """No item is blamed."""
    with pytest.raises(PoolError, match="ended by SIGKILL before it began to work"):
        next(LocalPool(2).run(NeverBegins(), ["a"]))


def test_items_may_be_drawn_while_results_come() -> None:
    """A pool reads a little ahead only."""
    done = 0

    def drawn() -> Iterator[str]:
        for _ in range(10 * CHUNK):
            yield str(done)  # how many results there are when the item is drawn

    furthest = 0
    for done, item in enumerate(LocalPool(2).run(EndProcesses(), drawn()), 1):  # noqa: B007  (drawn() reads it)
        furthest = max(furthest, int(item))
    assert done == 10 * CHUNK
    assert furthest >= 5 * CHUNK


@pytest.mark.parametrize("items", [0, 1, CHUNK, CHUNK + 1])
def test_every_item_has_one_result(items: int) -> None:
    """However many there are."""
    assert sorted(LocalPool(2).run(EndProcesses(), map(str, range(items)))) == sorted(map(str, range(items)))
