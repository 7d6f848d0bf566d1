"""What xdist's controller and workers hand each other: how many processes may be ranks at once, and the records of the cases and jobs that ran."""

from __future__ import annotations

import os
import pickle
import sys
from typing import Any

import pytest

from ckpt_harness.pytest_plugin.stash import session_if_any, session_of

_AT_ONCE = "ckpt_harness_ranks_at_once"
"""Key under which the controller sends a worker the number of processes that may be ranks at once."""
_OUTPUT = "ckpt_harness_records"
"""Key under which a worker sends its records to the controller."""


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """On the controller: decides how many ranks may run at once. A worker cannot, since it may be bound to one processor, and others may have begun."""
    if sys.platform.startswith("linux"):
        from ckpt_harness.worlds.processes.turns import available_memory, bearable

        node.workerinput[_AT_ONCE] = bearable(len(os.sched_getaffinity(0)), available_memory())


def share_processors(config: pytest.Config, places: pytest.TempPathFactory) -> None:
    """On a worker: takes turns with the other workers, so that all together run no more ranks at once than the controller said."""
    received: dict[str, Any] = getattr(config, "workerinput", {})
    if _AT_ONCE in received:
        from ckpt_harness.worlds.processes import Turns, shared

        # The directory that all workers share is pytest's own; pytest removes it.
        shared().share(Turns(places.getbasetemp().parent, received[_AT_ONCE]), received["workercount"])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """On a worker: sends the records to the controller."""
    kept = session_if_any(session.config)
    output = getattr(session.config, "workeroutput", None)
    if output is not None and kept is not None and (kept.records or kept.jobs or kept.refused or kept.instead):
        output[_OUTPUT] = pickle.dumps((kept.records, kept.jobs, kept.refused, kept.instead))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """On the controller: takes a worker's records. A worker that crashed has sent none."""
    kept = getattr(node, "workeroutput", {}).get(_OUTPUT)
    if kept is not None:
        records, jobs, refused, instead = pickle.loads(kept)
        session = session_of(node.config)
        session.records += records
        session.jobs += jobs
        session.refused.update(refused)
        session.instead.update(instead)
