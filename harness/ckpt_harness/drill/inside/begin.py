"""Puts the agent into a process, before its program begins."""

from __future__ import annotations

import json
import os
import signal
import sys

from ckpt_harness.drill.inside import alone, dcp, files, native
from ckpt_harness.drill.inside.agent import Agent
from ckpt_harness.drill.inside.desk import DrillDesk
from ckpt_harness.drill.inside.imports import AfterImport

VARIABLE = "CKPT_HARNESS_DRILL"
"""Environment variable with what the agent must know, as JSON: ``socket``, ``state``, ``original`` and ``stacks``."""
STATE = "CKPT_HARNESS_STATE"
"""Environment variable with the state directory, for a strike without a drill."""
STACKS = signal.SIGRTMAX - 3
"""The signal that makes a process write its stacks to a file: a signal that programs have no other use for."""


def begin() -> None:
    """Puts the agent into this process. Called once, before the program begins."""
    settings = json.loads(os.environ.get(VARIABLE, "{}"))
    if settings:
        agent = Agent(DrillDesk(settings["socket"]), settings["state"], settings["original"])
        _write_stacks_on_request(settings["stacks"])
    else:
        agent = Agent(alone.LoneDesk(os.environ[alone.VARIABLE]), os.environ[STATE], "")
    files.watch(agent)
    actions = {**native.actions(agent), **dcp.actions(agent)}
    for name, action in actions.items():
        if name in sys.modules:  # a forked rank
            action(sys.modules[name])
    sys.meta_path.insert(0, AfterImport(actions))


def _write_stacks_on_request(directory: str) -> None:
    """Lets the drill see where this process waits."""
    import faulthandler

    file = os.open(f"{directory}/{os.getpid()}", os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    faulthandler.register(STACKS, file, all_threads=True)
