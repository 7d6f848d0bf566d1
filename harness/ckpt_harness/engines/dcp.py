"""How ``torch.distributed.checkpoint`` is called; the engines of its family differ in their storage only."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.staging import AsyncStager, BlockingAsyncStager
from torch.distributed.checkpoint.state_dict_saver import AsyncCheckpointerType

from ckpt_harness._torch import background_stager, load_with_coordinator, save_with_coordinator, stored_pieces
from ckpt_harness.engines.base import Call, Saving
from ckpt_harness.errors import UsageError
from ckpt_harness.faults.protocol import DCP, Capability, Protocol
from ckpt_harness.workloads.workload import Holding

DCP_CAPABILITIES = frozenset(
    {
        Capability.COLLECTIVES,
        Capability.ANY_COORDINATOR,
        Capability.COMMIT_MARKER,
        Capability.WITHOUT_COLLECTIVES,
        Capability.FILE_SYSTEM,
    }
)
"""What DCP claims on its file systems. It does not check what its storage hands back, has no checksums, and overwrites in place."""


UNTOLD = Protocol(
    "DCP, told of no place",
    {
        kind: dataclasses.replace(course, before=tuple(site for site in course.before if not site.endswith(".reset")))
        for kind, course in DCP.operations.items()
    },
)
"""Without a ``checkpoint_id`` beside the storage object nobody resets that."""


class Planners(NamedTuple):
    """A kind of planner.

    Attributes:
        about: one line.
        save: options of ``DefaultSavePlanner``.
        load: options of ``DefaultLoadPlanner``.
    """

    about: str
    save: dict[str, bool]
    load: dict[str, bool]


_NO_FLATTEN = {"flatten_state_dict": False, "flatten_sharded_tensors": False}
"""Both, since a load planner that flattens sharded tensors alone puts the objects that it loads into a copy, which nobody sees."""

PLANNERS: dict[str, Planners] = {
    "default": Planners("DCP's own, with no options", {}, {}),
    "plan-caching": Planners("plans are kept from save to save, and only changes are sent", {"enable_plan_caching": True}, {}),
    "dedup-lowest": Planners("what all ranks hold is saved by the lowest", {"dedup_save_to_lowest_rank": True}, {}),
    "no-flatten": Planners("nested dictionaries are saved as one object", _NO_FLATTEN, _NO_FLATTEN),
    "partial-load": Planners("keys that the checkpoint lacks are let be", {}, {"allow_partial_load": True}),
}
"""Name -> the options of DCP's own planners that change what is sent, who stores what, and what is asked for."""


class DcpCalls:
    """The calls of an engine that runs DCP's own ``save`` and ``load``."""

    name: str
    protocol: Protocol
    one_process = False
    usual: Mapping[str, str] = {}
    cannot_hold: frozenset[Holding] = frozenset({Holding.QUANTIZED})
    planners: Mapping[str, str] = {name: kind.about for name, kind in PLANNERS.items()}

    def checkpoint_id(self, place: str) -> str | None:
        """What DCP is told of the place beside the storage object; None where that knows better."""
        return place

    def save(self, state: dict[str, Any], writer: Any, planner: Any, place: str, call: Call) -> None:
        """``dcp.save``; with another coordinator than 0 the deprecated ``save_state_dict``, which alone can name one."""
        if call.coordinator and dist.is_initialized():
            save_with_coordinator(state, writer, call.coordinator, planner, call.group)
        else:
            options = _options(call) | {"use_collectives": call.use_collectives}
            dcp.save(state, checkpoint_id=self.checkpoint_id(place), storage_writer=writer, planner=planner, **options)

    def make_stager(self, staging: str) -> AsyncStager:
        """A stager of the caller's own: DCP's, which copies at once or in the background."""
        return background_stager() if staging == "background" else BlockingAsyncStager()

    def make_save_planner(self, kind: str) -> dcp.DefaultSavePlanner:
        """DCP's own planner."""
        return dcp.DefaultSavePlanner(**PLANNERS[kind].save)

    def make_load_planner(self, kind: str) -> dcp.DefaultLoadPlanner:
        """DCP's own planner."""
        return dcp.DefaultLoadPlanner(**PLANNERS[kind].load)

    def async_save(self, state: dict[str, Any], writer: Any, planner: Any, place: str, call: Call) -> Saving:
        """``dcp.async_save``.

        Raises:
            UsageError: the engine's protocol has none.
        """
        if "async_save" not in self.protocol.operations:
            raise UsageError(f"engine {self.name!r} has no async_save; operations: {', '.join(self.protocol.operations)}")
        response: Any = dcp.async_save(
            state,
            checkpoint_id=self.checkpoint_id(place),
            storage_writer=writer,
            planner=planner,
            **_options(call),
            use_collectives=call.use_collectives,
            async_checkpointer_type=AsyncCheckpointerType(call.executor),
            async_stager=call.stager,
        )
        return Saving(getattr(response, "upload_completion", response), getattr(response, "staging_completion", None))

    def load(self, state: dict[str, Any], reader: Any, planner: Any, place: str, call: Call) -> None:
        """``dcp.load``; with another coordinator than 0 the deprecated ``load_state_dict``."""
        if call.coordinator and dist.is_initialized():
            load_with_coordinator(state, reader, call.coordinator, planner, call.group)
        else:
            dcp.load(state, checkpoint_id=self.checkpoint_id(place), storage_reader=reader, planner=planner, **_options(call))


def _options(call: Call) -> dict[str, Any]:
    return {"process_group": call.group, "no_dist": call.no_dist}


def markers(apart: int) -> list[str]:
    """The files that DCP's file systems commit by: that of all ranks or, where they saved without collectives, one of each."""
    return [f"__{rank}.metadata" for rank in range(apart)] or [".metadata"]


def flaws_of(place: str) -> list[str]:
    """What the metadata of a checkpoint on a local file system promises, and no file holds. Without metadata for all ranks there is nothing to ask.

    Args:
        place: its directory.
    """
    try:
        metadata = dcp.FileSystemReader(place).read_metadata()
    except Exception:  # noqa: BLE001  (whether it can be read is for a load to say)
        return []
    return list(_flaws(metadata, Path(place)))


def _flaws(metadata: Any, place: Path) -> Iterator[str]:
    stored = stored_pieces(metadata)
    for name, entry in metadata.state_dict_metadata.items():
        for offset in [tuple(chunk.offsets) for chunk in entry.chunks] if hasattr(entry, "chunks") else [None]:
            if not any((piece.name, piece.offset) == (name, offset) for piece in stored):
                yield f"{name} at {offset} is in the metadata, and nowhere in storage"
    for piece in stored:
        file = place / piece.file
        size = file.stat().st_size if file.is_file() else -1
        if size < piece.end:
            there = f"{size} bytes long" if size >= 0 else "not there"
            yield f"{piece.name} should be in {piece.file} at [{piece.start}, {piece.end}), which is {there}"
