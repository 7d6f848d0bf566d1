"""What the process world leaves behind: nothing, however it ends."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
import threading
from pathlib import Path

import bodies
import pytest
from tests import own_descriptors

from ckpt_harness.worlds.processes import Crews, ProcessWorld

LIMIT = 20_000
"""Milliseconds for the kernel and the forkserver to end what is left; a second or two on an idle machine."""


def ranks_of(server: int) -> set[int]:
    text = Path(f"/proc/{server}/task/{server}/children").read_text(encoding="ascii")
    return {int(pid) for pid in text.split()}


def taken(crews: Crews) -> tuple[int, ...]:
    """Descriptors, ranks, files and threads."""
    server = crews.server()
    return own_descriptors.count(), len(ranks_of(server.pid)), len(list(Path(server.directory).iterdir())), threading.active_count()


def test_hangs_kills_and_stops_leave_no_process_descriptor_or_file() -> None:
    """What a run takes, it gives back."""
    with Crews() as crews:
        world = ProcessWorld(2, crews=crews)
        disturbances = (lambda: world.run(bodies.leave_behind), lambda: world.run(bodies.end, "die"), lambda: world.run(bodies.stop, float("inf")))
        for disturb in disturbances:
            disturb()
        world.run(bodies.barrier)
        before = taken(crews)
        for disturb in disturbances:
            disturb()
            disturb()
        world.run(bodies.barrier)
        assert taken(crews) == before


def test_closing_ends_everything() -> None:
    """The server, its ranks and its directory."""
    before = own_descriptors.count()
    with Crews() as crews:
        ProcessWorld(2, crews=crews).run(bodies.barrier)
        server, directory = crews.server().pid, crews.server().directory
        ranks = ranks_of(server)
        assert len(ranks) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in (server, *ranks))
    assert not Path(directory).exists()
    assert own_descriptors.count() == before


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM], ids=lambda end: end.name)
def test_a_parent_that_is_ended_takes_its_ranks_along(end: signal.Signals) -> None:
    """Idle, waiting and stopped ones, the forkserver, and the directories of both, within seconds."""
    program = [sys.executable, str(Path(__file__).with_name("parent.py"))]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen(program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment) as parent:
        assert parent.stdout is not None
        report = json.loads(parent.stdout.readline())
        handles = [os.pidfd_open(pid) for pid in report["pids"]]
        try:
            assert len(handles) > 5
            parent.send_signal(end)
            parent.wait(30)
            assert [pid for pid, handle in zip(report["pids"], handles, strict=True) if not _ends(handle)] == []
        finally:
            for handle in handles:
                os.close(handle)
    assert [directory for directory in report["directories"] if Path(directory).exists()] == []


def _ends(handle: int) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(LIMIT))
