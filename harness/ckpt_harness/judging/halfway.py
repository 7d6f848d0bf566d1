"""Halfway: was a save interrupted after a rank had begun to write, and before every rank had written?"""

from __future__ import annotations

from collections.abc import Sequence

from ckpt_harness.history import Event, History

_WRITE, _WRITTEN = "writer.write_data", "writer.write_data.future"


def written_halfway(history: History, ranks: Sequence[int], operation: str, *, all_files: bool = True) -> bool:
    """Whether a save was interrupted while its ranks wrote: earlier, no rank has written anything; later, every rank has written everything.

    Args:
        history: what happened.
        ranks: the ranks that save together.
        operation: the save.
        all_files: whether the ranks write every file of the checkpoint that they replace. Fewer ranks than have saved it leave some of its files as they are.

    Example:
        >>> def write(rank, *parts):
        ...     return [Event(0.0, rank, "enter", "save[1]", f"writer.write_data{part}", 1) for part in parts]
        >>> written_halfway(History([*write(0, "", ".future"), *write(1, "")]), (0, 1), "save[1]")
        True
        >>> written_halfway(History([*write(0, "", ".future"), *write(1, "", ".future")]), (0, 1), "save[1]")
        False
        >>> written_halfway(History([]), (0, 1), "save[1]")
        False
    """
    own = [[event for event in history.of_rank(rank) if event.operation == operation] for rank in ranks]
    began = any(event.kind == "enter" and event.site == _WRITE for events in own for event in events)
    return began and not (all_files and all(_wrote(events) for events in own))


def _wrote(events: Sequence[Event]) -> bool:
    """Whether one rank has written, and no fault struck while it wrote. A rank writes until the engine has waited for the future of its call."""
    writing = wrote = False
    for event in events:
        if event.kind == "fault" and (writing or event.site == _WRITTEN):
            return False
        if event.kind == "enter" and event.site in (_WRITE, _WRITTEN):
            writing, wrote = event.site == _WRITE, event.site == _WRITTEN
    return wrote
