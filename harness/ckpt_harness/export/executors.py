"""Faults of the process that an async save is done by, as functions of a script: they run in that process, which imports the script anew."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from ckpt_harness.export.struck import Struck
from ckpt_harness.faults.effects import Raise

PROCESS = "PROCESS = dcp._async_process_executor._AsyncCheckpointProcess"
MAIN = "MAIN = PROCESS._checkpointing_subprocess"
HEALING = "PROCESS._checkpointing_subprocess = staticmethod(MAIN)"
"""What lets the processes be that are started from then on."""
PATCH = "PROCESS._checkpointing_subprocess = staticmethod(start)"
_SAVE = "SAVE(*args, **kwargs)"


def processes(methods: Mapping[str, Sequence[Struck]], starting: Callable[[Struck], list[str]], body: Callable[..., list[str]]) -> list[str]:
    """Functions ``save`` and ``start``, of which the latter is what a process begins with.

    Args:
        methods: ``start`` or ``save`` -> what strikes it.
        starting: statements of a fault that strikes as the process starts, without its condition on the rank.
        body: what makes the statements of a function from its faults, its call, and the statement of it.
    """
    blocks = []
    if "save" in methods:
        lines = body(methods["save"], _SAVE, f"return {_SAVE}", "")
        blocks.append("\n".join(["def save(*args, **kwargs):", *(f"    {line}" for line in lines)]))
    lines = ["def start(info, pipe):"]
    for struck in methods.get("start", ()):
        ended = ["os._exit(1)  # whatever the error is, all that is seen of it is that the process ends"]
        does = ended if isinstance(struck.fault.effect, Raise) else starting(struck)
        whom = f"== {struck.ranks[0]}" if len(struck.ranks) == 1 else f"in {struck.ranks}"
        lines += [f"    if info.global_rank {whom}:", *(f"        {line}" for line in does)]
    lines += ["    PROCESS._execute_save = save"] * ("save" in methods)
    return [*blocks, "\n".join([*lines, "    MAIN(info, pipe)"])]
