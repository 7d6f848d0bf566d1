"""Lightning Fabric: the functions by which its ``FSDPStrategy`` and ``ModelParallelStrategy`` save and load sharded checkpoints, in a directory.

Not modelled: the code of the strategies around these functions, for models that are sharded on accelerators, and their file ``meta.pt``. Fabric has no
async save.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ckpt_harness.engines.base import Call
from ckpt_harness.engines.filesystem import FileSystemEngine
from ckpt_harness.engines.third_party.storage_override import handed
from ckpt_harness.faults.protocol import DCP, Capability, Protocol


class FabricEngine(FileSystemEngine):
    """The functions that both strategies use."""

    def __init__(self) -> None:
        super().__init__("fabric", "Lightning Fabric: its sharded checkpoints, in a directory", sync_files=False)
        self.protocol = Protocol("fabric", {"save": DCP.operations["save"], "load": DCP.operations["load"]})
        self.capabilities = frozenset({Capability.COLLECTIVES, Capability.COMMIT_MARKER, Capability.FILE_SYSTEM})

    def save(self, state: dict[str, Any], writer: Any, planner: Any, place: str, call: Call) -> None:
        """Calls ``_distributed_checkpoint_save``."""
        from lightning_fabric.strategies.fsdp import _distributed_checkpoint_save

        with handed(call, storage_writer=writer, planner=planner):
            _distributed_checkpoint_save(state, Path(place))

    def load(self, state: dict[str, Any], reader: Any, planner: Any, place: str, call: Call) -> None:
        """Calls ``_distributed_checkpoint_load``."""
        from lightning_fabric.strategies.fsdp import _distributed_checkpoint_load

        with handed(call, storage_reader=reader, planner=planner):
            _distributed_checkpoint_load(state, Path(place))


FABRIC = FabricEngine()
