"""Calls of ``torch.distributed.checkpoint`` (DCP). The engines of its family differ in their storage only."""

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
from ckpt_harness.faults.calling import PARTIAL_LOAD
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
"""What DCP claims on its file systems. DCP does not verify the data that its storage returns, has no checksums, and overwrites in place."""


WITHOUT_ID = Protocol(
    "DCP without checkpoint_id",
    {
        kind: dataclasses.replace(course, before=tuple(site for site in course.before if not site.endswith(".reset")))
        for kind, course in DCP.operations.items()
    },
)
"""DCP's protocol for a storage object without a ``checkpoint_id``: DCP then does not call ``reset``."""


class Planners(NamedTuple):
    """A kind of planner.

    Attributes:
        about: a description of one line.
        save: options of ``DefaultSavePlanner``.
        load: options of ``DefaultLoadPlanner``.
    """

    about: str
    save: dict[str, bool]
    load: dict[str, bool]


_NO_FLATTEN = {"flatten_state_dict": False, "flatten_sharded_tensors": False}
"""Both options, since a load planner that flattens only sharded tensors loads objects into a copy of the state, which is lost."""

PLANNERS: dict[str, Planners] = {
    "default": Planners("DCP's planners without options", {}, {}),
    "plan-caching": Planners("plans are cached between saves, and only changes are communicated", {"enable_plan_caching": True}, {}),
    "dedup-lowest": Planners("replicated values are saved by the lowest rank", {"dedup_save_to_lowest_rank": True}, {}),
    "no-flatten": Planners("nested dictionaries are not flattened; each is saved as an object", _NO_FLATTEN, _NO_FLATTEN),
    PARTIAL_LOAD: Planners("keys that are missing in the checkpoint are ignored", {}, {"allow_partial_load": True}),
}
"""The options of DCP's planners that change what is communicated, which rank stores a value, and what is loaded; by name."""


class DcpCalls:
    """The part of an engine that calls DCP's ``save``, ``async_save`` and ``load``."""

    name: str
    protocol: Protocol
    one_process = False
    usual: Mapping[str, str] = {}
    cannot_hold: frozenset[Holding] = frozenset({Holding.QUANTIZED})
    planners: Mapping[str, str] = {name: kind.about for name, kind in PLANNERS.items()}

    def checkpoint_id(self, place: str) -> str | None:
        """Returns the ``checkpoint_id`` to pass to DCP beside the storage object; None if the storage object must not be reset to it."""
        return place

    def save(self, state: dict[str, Any], writer: Any, planner: Any, place: str, call: Call) -> None:
        """Calls ``dcp.save``; for a coordinator other than 0, the deprecated ``save_state_dict``, the only function with that parameter."""
        if call.coordinator and dist.is_initialized():
            save_with_coordinator(state, writer, call.coordinator, planner, call.group)
        else:
            options = _options(call) | {"use_collectives": call.use_collectives}
            dcp.save(state, checkpoint_id=self.checkpoint_id(place), storage_writer=writer, planner=planner, **options)

    def make_stager(self, staging: str) -> AsyncStager:
        """Makes a stager of DCP that copies at once or in the background."""
        return background_stager() if staging == "background" else BlockingAsyncStager()

    def make_save_planner(self, kind: str) -> dcp.DefaultSavePlanner:
        """Makes DCP's default planner with the options of a kind."""
        return dcp.DefaultSavePlanner(**PLANNERS[kind].save)

    def make_load_planner(self, kind: str) -> dcp.DefaultLoadPlanner:
        """Makes DCP's default planner with the options of a kind."""
        return dcp.DefaultLoadPlanner(**PLANNERS[kind].load)

    def async_save(self, state: dict[str, Any], writer: Any, planner: Any, place: str, call: Call) -> Saving:
        """Calls ``dcp.async_save``.

        Raises:
            UsageError: the engine's protocol has no ``async_save``.
        """
        if "async_save" not in self.protocol.operations:
            raise UsageError(f"engine {self.name!r} has no async_save; valid: {', '.join(self.protocol.operations)}")
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
        """Calls ``dcp.load``; for a coordinator other than 0, the deprecated ``load_state_dict``."""
        if call.coordinator and dist.is_initialized():
            load_with_coordinator(state, reader, call.coordinator, planner, call.group)
        else:
            dcp.load(state, checkpoint_id=self.checkpoint_id(place), storage_reader=reader, planner=planner, **_options(call))


def _options(call: Call) -> dict[str, Any]:
    return {"process_group": call.group, "no_dist": call.no_dist}


def markers(apart: int) -> list[str]:
    """Returns the names of the commit markers on DCP's file systems.

    Args:
        apart: 0 for a save by all ranks together; otherwise the number of ranks, each of which commits its own part.

    Example:
        >>> markers(0), markers(2)
        (['.metadata'], ['__0.metadata', '__1.metadata'])
    """
    return [f"__{rank}.metadata" for rank in range(apart)] or [".metadata"]


def flaws_of(place: str) -> list[str]:
    """Lists data that a checkpoint's metadata names and no file contains; empty if there is no metadata of all ranks.

    Args:
        place: the directory of the checkpoint.
    """
    try:
        return list(_flaws(dcp.FileSystemReader(place).read_metadata(), Path(place)))
    except Exception:  # noqa: BLE001  (damaged metadata, which cannot be read or lacks a part, is reported by loads)
        return []


def _flaws(metadata: Any, place: Path) -> Iterator[str]:
    stored = stored_pieces(metadata)
    for name, entry in metadata.state_dict_metadata.items():
        for offset in [tuple(chunk.offsets) for chunk in entry.chunks] if hasattr(entry, "chunks") else [None]:
            if not any((piece.name, piece.offset) == (name, offset) for piece in stored):
                yield f"{name} at {offset} is in the metadata, and not in storage"
    for piece in stored:
        file = place / piece.file
        size = file.stat().st_size if file.is_file() else -1
        if size < piece.end:
            actual = f"is {size} bytes long" if size >= 0 else "does not exist"
            yield f"{piece.name} should be in {piece.file} at [{piece.start}, {piece.end}); the file {actual}"
