"""Engines that meet the test that runs them, or that end processes; only below a directory that the environment of a cluster's workers names."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

from ckpt_harness.engines.filesystem import FileSystemEngine

MEETING = "CKPT_TEST_MEETING"
"""Environment variable with a directory that has the two pipes ``here`` and ``never``."""


class Meeting(FileSystemEngine):
    """The first writer that any process of the cluster makes reports its process and that process's parent, and waits for ever."""

    def make_writer(self, place: str) -> Any:
        if MEETING in os.environ:
            meeting = Path(os.environ[MEETING])
            try:
                (meeting / "taken").touch(exist_ok=False)
            except FileExistsError:
                return super().make_writer(place)
            (meeting / "here").write_text(f"{os.getpid()} {os.getppid()}\n", encoding="ascii")
            (meeting / "never").read_text(encoding="ascii")
        return super().make_writer(place)


class Killer(FileSystemEngine):
    """Ends the process that makes a writer."""

    def make_writer(self, place: str) -> Any:
        if MEETING in os.environ:
            os.kill(os.getpid(), signal.SIGKILL)
        return super().make_writer(place)


class WorkerKiller(FileSystemEngine):
    """Ends the worker of Dask whose process makes a writer."""

    def make_writer(self, place: str) -> Any:
        if MEETING in os.environ:
            os.kill(os.getppid(), signal.SIGKILL)
            (Path(os.environ[MEETING]) / "never").read_text(encoding="ascii")
        return super().make_writer(place)


MEETING_ENGINE = Meeting("meeting", "reports where it runs")
KILLER = Killer("killer", "ends its process")
WORKER_KILLER = WorkerKiller("worker-killer", "ends its worker")
