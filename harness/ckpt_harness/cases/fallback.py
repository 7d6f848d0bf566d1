"""Where a case runs that is wanted on a launcher's ranks: there if it can, else on simulated ranks of rank 0, and why; never silently elsewhere."""

from __future__ import annotations

from dataclasses import replace

from ckpt_harness.cases.case import Case
from ckpt_harness.errors import HarnessError


def placed(case: Case) -> tuple[Case, str]:
    """The case as it is to run where ranks of a launcher serve.

    Args:
        case: whatever world it names.

    Returns:
        The case in world ``attached`` and "", or in world ``simulated`` and why it cannot run attached.

    Raises:
        PlanError: the plan fits neither world.
        UsageError: the case can run in neither.
    """
    attached = replace(case, world="attached")
    try:
        attached.bind()
    except HarnessError as error:
        simulated = replace(case, world="simulated")
        simulated.bind()
        return simulated, str(error).partition(";")[0]
    return attached, ""
