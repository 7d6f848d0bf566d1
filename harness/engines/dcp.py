"""How ``torch.distributed.checkpoint`` is called; the engines of its family differ in their storage only."""

from __future__ import annotations

from typing import Any

import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.staging import AsyncStager, BlockingAsyncStager
from torch.distributed.checkpoint.state_dict_saver import AsyncCheckpointerType

from harness._torch import background_stager, load_with_coordinator, save_with_coordinator
from harness.engines.base import Call, Saving
from harness.protocol import Capability

DCP_CAPABILITIES = frozenset({Capability.COLLECTIVES, Capability.ANY_COORDINATOR, Capability.COMMIT_MARKER})
"""What DCP claims. It does not check what its storage hands back."""


class DcpCalls:
    """The calls of an engine that runs DCP's own ``save`` and ``load``."""

    one_process = False

    def save(self, state: dict[str, Any], writer: Any, planner: Any, place: str, call: Call) -> None:
        """``dcp.save``; with another coordinator than 0 the deprecated ``save_state_dict``, which alone can name one."""
        if call.coordinator and dist.is_initialized():
            save_with_coordinator(state, writer, call.coordinator, planner, call.group)
        else:
            dcp.save(state, checkpoint_id=place, storage_writer=writer, planner=planner, process_group=call.group, no_dist=call.no_dist)

    def make_stager(self, staging: str) -> AsyncStager:
        """A stager of the caller's own: DCP's, which copies at once or in the background."""
        return background_stager() if staging == "background" else BlockingAsyncStager()

    def make_save_planner(self) -> dcp.DefaultSavePlanner:
        """DCP's own planner."""
        return dcp.DefaultSavePlanner()

    def make_load_planner(self) -> dcp.DefaultLoadPlanner:
        """DCP's own planner."""
        return dcp.DefaultLoadPlanner()

    def async_save(self, state: dict[str, Any], writer: Any, planner: Any, place: str, call: Call) -> Saving:
        """``dcp.async_save``."""
        response: Any = dcp.async_save(
            state,
            checkpoint_id=place,
            storage_writer=writer,
            planner=planner,
            process_group=call.group,
            no_dist=call.no_dist,
            async_checkpointer_type=AsyncCheckpointerType(call.executor),
            async_stager=call.stager,
        )
        return Saving(getattr(response, "upload_completion", response), getattr(response, "staging_completion", None))

    def load(self, state: dict[str, Any], reader: Any, planner: Any, place: str, call: Call) -> None:
        """``dcp.load``; with another coordinator than 0 the deprecated ``load_state_dict``."""
        if call.coordinator and dist.is_initialized():
            load_with_coordinator(state, reader, call.coordinator, planner, call.group)
        else:
            dcp.load(state, checkpoint_id=place, storage_reader=reader, planner=planner, process_group=call.group, no_dist=call.no_dist)
