"""Where a case runs that is to run on a launcher's ranks: there if it can; else on simulated ranks of rank 0, with the reason. Never silently elsewhere."""

from __future__ import annotations

from dataclasses import replace

from ckpt_harness.cases.case import Case
from ckpt_harness.errors import HarnessError


def placed(case: Case) -> tuple[Case, str]:
    """Chooses the world of a case under a launcher.

    Args:
        case: the case; its own world does not matter.

    Returns:
        The case in world ``attached`` and an empty text; or the case in world ``simulated`` and the reason why the launcher's ranks cannot run it.

    Raises:
        PlanError: the plan fits neither world.
        UsageError: the case can run in neither world.
    """
    attached = replace(case, world="attached")
    try:
        attached.bind()
    except HarnessError as error:
        simulated = replace(case, world="simulated")
        simulated.bind()
        reason, _, _ = str(error).partition(";")
        return simulated, reason
    return attached, ""
