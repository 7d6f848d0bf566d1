"""How ``torch.distributed.checkpoint`` is called; the engines of its family differ in their storage only."""

from __future__ import annotations

from concurrent.futures import Future
from typing import Any, cast

import torch.distributed as dist
import torch.distributed.checkpoint as dcp

from harness._torch import load_with_coordinator, save_with_coordinator
from harness.engines.base import Call
from harness.protocol import Capability

DCP_CAPABILITIES = frozenset({Capability.COLLECTIVES, Capability.ANY_COORDINATOR, Capability.COMMIT_MARKER, Capability.WITHOUT_COLLECTIVES})
"""What DCP claims. It does not check what its storage hands back."""


class DcpCalls:
    """The calls of an engine that runs DCP's own ``save`` and ``load``."""

    one_process = False

    def save(self, state: dict[str, Any], writer: Any, planner: Any, place: str, call: Call) -> None:
        """``dcp.save``; with another coordinator than 0 the deprecated ``save_state_dict``, which alone can name one."""
        if call.coordinator and dist.is_initialized():
            save_with_coordinator(state, writer, call.coordinator, planner, call.group)
        else:
            dcp.save(state, checkpoint_id=place, storage_writer=writer, planner=planner, **_options(call), use_collectives=call.use_collectives)

    def make_save_planner(self) -> dcp.DefaultSavePlanner:
        """DCP's own planner."""
        return dcp.DefaultSavePlanner()

    def make_load_planner(self) -> dcp.DefaultLoadPlanner:
        """DCP's own planner."""
        return dcp.DefaultLoadPlanner()

    def async_save(self, state: dict[str, Any], writer: Any, planner: Any, place: str, call: Call) -> Future[Any]:
        """``dcp.async_save`` with its thread executor."""
        options = {**_options(call), "use_collectives": call.use_collectives}
        response = dcp.async_save(state, checkpoint_id=place, storage_writer=writer, planner=planner, **options)
        return cast("Future[Any]", getattr(response, "upload_completion", response))

    def load(self, state: dict[str, Any], reader: Any, planner: Any, place: str, call: Call) -> None:
        """``dcp.load``; with another coordinator than 0 the deprecated ``load_state_dict``."""
        if call.coordinator and dist.is_initialized():
            load_with_coordinator(state, reader, call.coordinator, planner, call.group)
        else:
            dcp.load(state, checkpoint_id=place, storage_reader=reader, planner=planner, **_options(call))


def _options(call: Call) -> dict[str, Any]:
    return {"process_group": call.group, "no_dist": call.no_dist}


def markers(apart: int) -> list[str]:
    """The files that DCP's file systems commit by: that of all ranks or, where they saved without collectives, one of each."""
    return [f"__{rank}.metadata" for rank in range(apart)] or [".metadata"]
