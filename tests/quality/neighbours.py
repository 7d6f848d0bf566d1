"""Neighbours of the findings register: for each entry, an engine that is broken at the same site or under the same oracle, and in another way.

Each neighbour is an edit of DCP, and a case in which the engine without the edit shows a known finding, or nothing. With the edit the case must be violated:
the entry must not explain what merely resembles the finding.
"""

from __future__ import annotations

from typing import NamedTuple

from planting import FAILURES, SAVE, SAVER, WRITER, Edit


class Neighbour(NamedTuple):
    """A bug beside an entry of the register.

    Attributes:
        entry: id of the entry.
        bug: what the buggy engine does.
        edits: changes of the engine's source; none if the line names an engine that is broken itself.
        line: what follows ``ckpt-harness``: the case, or the search of crashes, that must be violated. It holds with the engine as it is.
        oracle: the oracle that must find the bug, or the claim about crashes.
        stand_in: for an entry about a package: the name of the engine, for which DCP's own engine stands in.
    """

    entry: str
    bug: str
    edits: tuple[Edit, ...]
    line: str
    oracle: str
    stand_in: str = ""


CAUGHT = "except BaseException as e:\n    local_data = _wrap_exception(e)"
FOUND = "{i: err for i, err in enumerate(results) if _is_wrapped_exception(err)},"
FINISHED = "storage_writer.finish(metadata=global_metadata, results=all_results)"
PREPARED = "local_plan = storage_writer.prepare_local_plan(local_plan)"
STAGED = "return async_stager.stage(state_dict)"
NEXT_RANK = Edit(FAILURES, FOUND, "{(i + 1) % len(results): err for i, err in enumerate(results) if _is_wrapped_exception(err)},")
STAGING_IGNORED = Edit(f"{SAVER}:async_save", STAGED, f"try:\n    {STAGED}\nexcept Exception:\n    return state_dict")
EARLY = Edit(
    SAVE,
    PREPARED,
    f"""\
{PREPARED}
if not distW.is_coordinator:
    import dataclasses
    from torch.distributed.checkpoint.filesystem import _StoragePrefix
    early = dataclasses.replace(local_plan, storage_data=_StoragePrefix(f"__{{distW.rank}}_"))
    storage_writer.write_data(early, planner).wait()""",
)
ONE_PLACE = (
    Edit(
        f"{WRITER}.set_up_storage_writer",
        'self.rank = kwargs.get("rank")',
        "self.rank = kwargs.get('rank')\n_FileSystemWriter.set_up_storage_writer.__dict__.setdefault('places', {})[self.rank] = self.path",
    ),
    Edit(
        f"{WRITER}.write_data",
        "file_count = 0",
        "file_count = 0\nself.path = _FileSystemWriter.set_up_storage_writer.places[self.rank]",
    ),
)
"""The place of a save is kept in the class, so that a save writes to the place of the save that was set up last."""
MIXED = "replay writer.prepare_local_plan@0=raise --op save --ranks 2 --workload sharded --onto checkpoint --no-retry"
