"""A worker process that is an interpreter of its own: started by a process that has not imported torch, and that has threads.

The server of multiprocessing would not do: the workers of Dask are daemonic processes, which multiprocessing allows no children.
"""

from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from multiprocessing.connection import Connection
from typing import Any

from ckpt_harness.campaigns.pools.serving import serve
from ckpt_harness.campaigns.pools.worker import ending
from ckpt_harness.cases import printed
from ckpt_harness.worlds.launcher import VARIABLES

_ENDING = 10.0
"""Seconds in which the process ends by itself once there is no more work."""


class Interpreter:
    """A :class:`ckpt_harness.campaigns.pools.worker.WorkerProcess`. It ends when the process that started it ends, in whatever way. Linux only.

    Args:
        directory: where the process has a directory for its temporary files, which goes when the process ends.
        patience: seconds without work after which the process ends by itself.
    """

    def __init__(self, directory: str | None, patience: float) -> None:
        self._folder = tempfile.mkdtemp(prefix="ckpt-harness-", dir=directory)
        self.connection, theirs = multiprocessing.Pipe()
        lifeline, self._lifeline = os.pipe()  # the process reads end-of-file once this process has ended
        start = {"path": sys.path, "folder": self._folder, "connection": theirs.fileno(), "lifeline": lifeline, "patience": patience}
        code = f"import json, sys; start = json.loads(sys.argv[1]); sys.path[:] = start['path']; from {__name__} import live; live(start)"
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-c", code, json.dumps(start)],
                pass_fds=[theirs.fileno(), lifeline],
                stdin=subprocess.DEVNULL,
                # In a session of its own: what a case sends to its group of processes, or a terminal to its own, stays there.
                start_new_session=True,
                # A worker that a launcher started is no rank of the launcher's job.
                env={name: value for name, value in os.environ.items() if name not in VARIABLES},
            )
            self.sentinel = os.pidfd_open(self._process.pid)
        except BaseException:
            self._release()
            raise
        finally:
            theirs.close()
            os.close(lifeline)

    def kill(self) -> str:
        self._process.kill()
        status = self._process.wait()
        os.close(self.sentinel)
        self._release()
        return ending(status)

    def close(self) -> None:
        self.connection.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(_ENDING)
        self.kill()

    def _release(self) -> None:
        self.connection.close()
        os.close(self._lifeline)
        shutil.rmtree(self._folder, ignore_errors=True)


# -- in the process


def live(start: dict[str, Any]) -> None:
    """Works until there has been no work for long, or the process that started this one has ended.

    Args:
        start: ``folder`` for temporary files; descriptors: ``connection``, from which work comes, and ``lifeline``; ``patience`` in seconds.
    """
    from ckpt_harness.campaigns.workers import claim_processor, quiet, stay_on_one_processor

    connection, lifeline = start["connection"], start["lifeline"]
    for descriptor in (connection, lifeline):
        os.set_inheritable(descriptor, False)  # what a case starts must not keep them open
    tempfile.tempdir = start["folder"]
    printed.catch_for_good()
    threading.Thread(target=_end_with, args=(lifeline, start["folder"]), name="ckpt-harness-parent", daemon=True).start()
    processor = claim_processor()
    if processor is not None:
        stay_on_one_processor(processor)
    quiet()
    serve(Connection(connection), start["patience"])
    os._exit(0)  # some modules have slow exit handlers


def _end_with(lifeline: int, folder: str) -> None:
    """Ends this process once the process that started it has ended, whatever this process works on."""
    os.read(lifeline, 1)
    shutil.rmtree(folder, ignore_errors=True)
    os._exit(1)
