"""Entering a job: the process of a rank takes on the surroundings of the process that sent the job, and unpickles what it is to run."""

from __future__ import annotations

import importlib
import os
import pickle
import sys
from typing import Any

from ckpt_harness.worlds.processes.messages import Job

_mains: set[str] = set()
"""The main modules that this process has imported."""


def enter(job: Job) -> Any:
    """Takes on the import path, the environment, the directory and the main module of the job's sender.

    Args:
        job: the job.

    Returns:
        What the sender pickled: the body, its arguments and the faults of collectives.
    """
    sys.path[:] = job.path
    if os.environ != job.environment:
        os.environ.clear()
        os.environ.update(job.environment)
    os.chdir(job.directory)
    _forget_namesakes(*job.module)
    if job.main is not None and job.main not in _mains:
        from multiprocessing.spawn import import_main_path

        _mains.add(job.main)
        import_main_path(job.main)
    return pickle.loads(job.work)


def _forget_namesakes(name: str, file: str | None) -> None:
    """Makes sure that the body is imported from the sender's file: an earlier job may have imported another module of the same name."""
    loaded = sys.modules.get(name)
    if name != "__main__" and file is not None and getattr(loaded, "__file__", file) != file:
        del sys.modules[name]
    if name not in sys.modules:
        importlib.invalidate_caches()  # the file may be newer than the import system's cache of its directory
