"""A bug that resembles a known finding is not taken for the finding: each case must be violated, with a claim that no entry explains."""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hunting import replayed
from planting import LOAD, SAVE, Edit

pytestmark = pytest.mark.usefixtures("silence")


class Resembling(NamedTuple):
    """A bug beside an entry of the register.

    Attributes:
        entry: id of the entry.
        bug: what the buggy engine does.
        edits: changes of the engine's source.
        line: the case that must be violated, and that holds with the engine as it is.
        oracle: the oracle that must find the bug.
    """

    entry: str
    bug: str
    edits: tuple[Edit, ...]
    line: str
    oracle: str


_SHARED = "--op async_save --ranks 2 --overlap shared"
_LATE = "'async_save[1]/writer.checkpoint_id@all=delay(1); async_save[2]/writer.set_up_storage_writer@all=delay(3)'"
_ONE_AFTER_THE_OTHER = f"ckpt-harness replay {_LATE} {_SHARED}"
_WRAPPER = "distW = _DistWrapper(process_group, not no_dist, coordinator_rank)"
_EARLY = """\
local_plan = storage_writer.prepare_local_plan(local_plan)
if not distW.is_coordinator:
    import dataclasses
    from torch.distributed.checkpoint.filesystem import _StoragePrefix
    early = dataclasses.replace(local_plan, storage_data=_StoragePrefix(f"__{distW.rank}_"))
    storage_writer.write_data(early, planner).wait()"""
_ZEROS = """\
for value in state_dict.values():
    for shard in getattr(value, "local_shards", list)():
        shard.tensor.nan_to_num_(0.0)"""

BESIDE = (
    Resembling(
        "DCP-020",
        "the first of two saves stores the values of the second",
        (
            Edit(SAVE, _WRAPPER, f'{_WRAPPER}\nlatest = _save_state_dict.__dict__.setdefault("latest", {{}})\nlatest[distW.rank] = state_dict'),
            Edit(SAVE, "state_dict=state_dict,", "state_dict=latest[distW.rank],"),
        ),
        _ONE_AFTER_THE_OTHER,
        "commitment",
    ),
    Resembling(
        "DCP-015",
        "a load on fewer ranks fills what is missing with zeros",
        (
            Edit(
                LOAD,
                "read_data()\ndistW.barrier()",
                f"read_data()\ndistW.barrier()\n{_ZEROS}",
            ),
        ),
        "ckpt-harness replay '' --op save --ranks 2 --way no_collectives",
        "filled",
    ),
    Resembling(
        "DCP-032",
        "a rank writes before the ranks have agreed on the plan, so that a save that fails in planning leaves a mixture",
        (Edit(SAVE, "local_plan = storage_writer.prepare_local_plan(local_plan)", _EARLY),),
        "ckpt-harness replay writer.prepare_local_plan@0=raise --op save --ranks 2 --workload sharded --onto checkpoint --no-retry",
        "purity",
    ),
)


@pytest.mark.parametrize("beside", BESIDE, ids=[f"{beside.entry}: {beside.bug}" for beside in BESIDE])
def test_a_bug_beside_an_entry_is_new(beside: Resembling) -> None:
    """The replay line shows a violation with the bug, by the named oracle, and none that counts without the bug."""
    status, printed = replayed(beside.line, beside.edits)
    assert status == 1, printed
    assert f"VIOLATED {beside.oracle}" in printed, printed
    assert replayed(beside.line)[0] == 0
