"""The sites of DCP: the storage of every save and load of the program is wrapped, as ``inject("")`` wraps it, and each call at a site is a point."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING

from ckpt_harness.drill.inside.agent import Agent

if TYPE_CHECKING:
    from ckpt_harness.history import Event

_until_exit = contextlib.ExitStack()
_MOMENTS = {"enter": "before", "exit": "after"}


def actions(agent: Agent) -> dict[str, Callable[[ModuleType], None]]:
    """What to do after the import of which module."""

    def install(_: ModuleType) -> None:
        with agent.at_work():
            try:
                _install(agent)
            except Exception as error:  # noqa: BLE001  (a torch that the harness does not know: the program must run all the same)
                agent.tell({"type": "unseen", "what": f"the sites of DCP ({type(error).__name__}: {error})"})

    return {"torch.distributed.checkpoint": install}


def _install(agent: Agent) -> None:
    import atexit

    from ckpt_harness.faults.plan import FaultPlan
    from ckpt_harness.history import History
    from ckpt_harness.injection.injector import Injector
    from ckpt_harness.injection.patching import intercepted
    from ckpt_harness.injection.unobserved import watched

    class Points(History):
        """Events at sites become points; events of operations are reported."""

        def append(self, event: Event) -> None:
            moment = _MOMENTS.get(event.kind)
            if moment is not None:
                name = f"{event.operation}/{event.site}@{agent.role}#{event.nth}" + ("" if moment == "before" else f"!{moment}")
                agent.arrive(name, event.site, "", moment)
            elif event.kind in ("begin", "end"):
                agent.tell({"type": "operation", "what": event.kind, "operation": event.operation})

    faults = Injector(FaultPlan(), history=Points())
    futures = watched(faults)
    _until_exit.enter_context(intercepted(faults))
    if futures is not None:
        atexit.register(lambda: agent.tell({"type": "unobserved", "operations": futures.unnoticed()}))
