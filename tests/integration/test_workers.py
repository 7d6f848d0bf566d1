"""Processes that share the work of a sweep."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from pathlib import Path

import pytest


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
