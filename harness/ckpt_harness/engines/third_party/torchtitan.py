"""torchtitan's ``CheckpointManager``: its ``dcp_save`` and ``dcp_load``, in a directory.

Not modelled: its Hugging Face formats, its removal of old checkpoints, and its separate process group for async saves.
"""

from __future__ import annotations

from typing import Any

from ckpt_harness.engines.base import Call, Saving
from ckpt_harness.engines.filesystem import FileSystemEngine
from ckpt_harness.engines.third_party.storage_override import handed
from ckpt_harness.faults.protocol import Capability


class TorchtitanEngine(FileSystemEngine):
    """The methods that torchtitan's trainer calls. The manager has no model: the state is that of the case."""

    def __init__(self) -> None:
        super().__init__("torchtitan", "torchtitan: CheckpointManager, in a directory", sync_files=False)
        self.capabilities = frozenset({Capability.COLLECTIVES, Capability.COMMIT_MARKER, Capability.FILE_SYSTEM})

    def save(self, state: dict[str, Any], writer: Any, planner: Any, place: str, call: Call) -> None:
        """Calls ``CheckpointManager.dcp_save``."""
        with handed(call, storage_writer=writer, planner=planner):
            _manager().dcp_save(state, place, "disabled")

    def async_save(self, state: dict[str, Any], writer: Any, planner: Any, place: str, call: Call) -> Saving:
        """Calls ``CheckpointManager.dcp_save`` with ``AsyncMode.ASYNC``, or with the mode that uses DCP's process executor."""
        mode = "async_with_pinned_mem" if call.executor == "process" else "async"
        with handed(call, storage_writer=writer, planner=planner):
            response: Any = _manager().dcp_save(state, place, mode)
        return Saving(getattr(response, "upload_completion", response), getattr(response, "staging_completion", None))

    def load(self, state: dict[str, Any], reader: Any, planner: Any, place: str, call: Call) -> None:
        """Calls ``CheckpointManager.dcp_load``."""
        with handed(call, storage_reader=reader, planner=planner):
            _manager().dcp_load(state, place, from_hf=False, from_quantized=False)


def _manager() -> Any:
    from torchtitan.components.checkpointer.dcp import CheckpointManager

    config = CheckpointManager.Config(enable=True, keep_latest_k=0)
    return CheckpointManager(config, dataloader=None, model_parts=[], optimizers=None, lr_schedulers=None, states={}, sd_adapter=None)


TORCHTITAN = TorchtitanEngine()
