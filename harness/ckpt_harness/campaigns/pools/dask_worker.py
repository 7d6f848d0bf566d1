"""What runs in the workers of a Dask cluster: each of their threads has a process that does the work.

The work has a process of its own since a case needs the main thread of a process, changes what the process does (its clocks, threads, locks) while
simulated ranks run, and may end it. So a worker of Dask never imports torch, any number of threads is right, and no case ends the worker.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.metadata
import os
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ckpt_harness import __version__
from ckpt_harness.campaigns.pools.base import PoolError, Work
from ckpt_harness.campaigns.pools.interpreter import Interpreter
from ckpt_harness.campaigns.pools.outcomes import Outcome
from ckpt_harness.campaigns.pools.worker import Worker, ready
from ckpt_harness.errors import UsageError, quoted

if TYPE_CHECKING:
    import distributed as dask

_PATIENCE = 60.0
"""Seconds after which a process without work ends: the next chunk of the same run comes at once, and after the run none comes."""
_GLANCE = 0.5
"""Seconds between two looks whether the results are still wanted."""

_idle: dict[str, list[Worker]] = {}
"""Run -> workers that wait for its next chunk."""
_changing = threading.Lock()


def answer() -> None:
    """Does nothing. Whatever can call it has ckpt-harness, which the scheduler needs to read tasks."""


def versions() -> dict[str, str]:
    """What must be the same in the client and in all workers: name -> version. Does not import torch."""
    return {
        "ckpt-harness": __version__,
        "torch": importlib.metadata.version("torch"),
        "Python": f"{sys.version_info.major}.{sys.version_info.minor}",
    }


def check_versions(wanted: Mapping[str, str], found: Mapping[str, str], where: str) -> None:
    """Refuses a worker with other versions: it would come to other verdicts.

    Args:
        wanted: the versions of the client.
        found: the versions of the worker.
        where: address of the worker.

    Raises:
        UsageError: a version differs.
    """
    for name, version in wanted.items():
        if found[name] != version:
            raise UsageError(f"worker {where} has {name} {found[name]}, and this process has {version}; valid: the same versions everywhere")


def do(run: str, wanted: Mapping[str, str], work: bytes, items: Sequence[bytes]) -> list[Outcome]:
    """Works on a chunk of items; this is the function of the tasks of Dask.

    Args:
        run: tells one run of a campaign from others. Another run may come with another edition of a user's files, and takes other processes.
        wanted: the versions of the client. A worker may have joined after the client looked.
        work: a pickled work.
        items: pickled items.
    """
    from distributed import get_worker

    me = get_worker()
    task = me.get_current_task()
    check_versions(wanted, versions(), me.address)
    with _worker(run, me.local_directory) as worker:
        worker.give(work, items)
        outcomes = []
        while worker.busy:
            if ready([worker], _GLANCE):
                outcomes += worker.hear()
            elif not _is_wanted(me, task):
                raise PoolError("the task was cancelled")  # which ends the process; nobody hears the error
    return outcomes


def _is_wanted(me: dask.Worker, task: object) -> bool:
    """Whether a task that runs was not cancelled. Dask cannot stop a thread, so the thread has to look."""
    state = me.state.tasks.get(task)
    return state is not None and state.state != "cancelled"


@contextlib.contextmanager
def _worker(run: str, directory: str) -> Iterator[Worker]:
    """A worker that has worked for the run and is idle, or a new worker."""
    with _changing:
        _forget_ended_workers()
        worker = _idle[run].pop() if _idle.get(run) else Worker(functools.partial(Interpreter, directory, _PATIENCE))
    try:
        yield worker
    except BaseException:
        worker.kill()
        raise
    with _changing:
        _idle.setdefault(run, []).append(worker)


def _forget_ended_workers() -> None:
    for run, workers in list(_idle.items()):
        for worker in [worker for worker in workers if not worker.usable]:
            worker.close()
            workers.remove(worker)
        if not workers:
            del _idle[run]


@dataclass(frozen=True)
class FromClient:
    """Work as a worker of Dask begins it: in the client's directory if there is such a directory, and only with the client's files.

    Attributes:
        work: the work.
        directory: working directory of the client.
        files: file that defines an engine, as the user names it -> digest of its content.
    """

    work: Work[Any, Any]
    directory: str
    files: Mapping[str, str]

    @contextlib.contextmanager
    def begun(self) -> Iterator[Callable[[Any], Any]]:
        """See :meth:`ckpt_harness.campaigns.pools.base.Work.begun`."""
        with contextlib.suppress(OSError):
            os.chdir(self.directory)
        for name, digest in self.files.items():
            if digest_of(name) != digest:
                raise UsageError(
                    f"engine file {quoted(name)} is missing or different on a worker; "
                    "valid: a file on a disk that all machines share, or module:object of a package that is installed everywhere"
                )
        with self.work.begun() as do:
            yield do


def digest_of(file: str) -> str:
    """A digest of the content of a file; "" if it cannot be read."""
    with contextlib.suppress(OSError):
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()
    return ""
