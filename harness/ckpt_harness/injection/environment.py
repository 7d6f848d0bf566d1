"""``CKPT_HARNESS_PLAN``: faults in a program that nobody edits.

With ``CKPT_HARNESS_PLAN="writer.write_data@0=raise"`` in its environment, a program that imports :mod:`ckpt_harness` runs as if all of it were inside
``with inject("writer.write_data@0=raise")``. In a shell::

    CKPT_HARNESS_PLAN="save[3]/writer.finish@0=raise(OSError:EIO)" torchrun --nproc-per-node 4 train.py

Ranks of the plan are ranks of the world: ``@1`` is the process with this rank in the default process group, or with ``RANK=1`` while it has no group.

At the end of a process in which no fault fired although one could have, a line on stderr says so; another line names the async saves that failed while
nobody looked at the future that ``async_save`` returned.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import sys

from ckpt_harness import runtime
from ckpt_harness.errors import PlanError, quoted
from ckpt_harness.faults.plan import as_plan
from ckpt_harness.injection.injector import Injector
from ckpt_harness.injection.patching import intercepted, within_reach
from ckpt_harness.injection.unobserved import watched

VARIABLE = "CKPT_HARNESS_PLAN"
"""Environment variable with the plan that is injected for the life of a process."""


def install_from_environment() -> None:
    """Injects the plan of ``CKPT_HARNESS_PLAN`` for the life of the process.

    If none of the plan's faults has fired when the process ends, or if nobody has looked at the future of a failed async save, one line on stderr says so.

    Raises:
        PlanError: the plan is malformed, or could never act.
    """
    text = os.environ[VARIABLE]
    try:
        faults = Injector(within_reach(as_plan(text)))
    except PlanError as error:
        raise PlanError(f"{VARIABLE}={quoted(text)}: {error}") from None
    futures = watched(faults)
    _until_exit.enter_context(intercepted(faults))
    atexit.register(_report_silence, faults)
    if futures is not None:
        atexit.register(futures.report)


_until_exit = contextlib.ExitStack()


def _report_silence(faults: Injector) -> None:
    """Prints that no fault fired, where a fault could have fired: a run without faults passes, and proves nothing."""
    ran = faults.ranks_with_role()
    if faults.fired:
        return
    if ran and not any(faults.addresses(fault, rank) for fault in faults.plan for rank in ran):
        return
    ranks = ", ".join(map(str, sorted(ran))) or str(runtime.current().rank())
    why = "" if ran else " (no save or load was seen)"
    print(f"ckpt-harness: rank {ranks}: no fault of {VARIABLE}={quoted(str(faults.plan), limit=100)} fired{why}", file=sys.stderr)
