"""accelerate's ``save_fsdp_model`` and ``load_fsdp_model``, with DCP's storage on a directory.

These functions take a model and nest its state under a key. So the state of the case becomes the state of a module that is not sharded itself. A ``Stateful``
is saved and loaded by the module's ``state_dict()`` and ``load_state_dict()``, before and after the call of DCP. A load has a barrier before and after.

Not modelled: models under FSDP, whose state dicts need an accelerator; optimizers, which are saved by the same calls; ``use_dcp=False``. The ``Accelerator``
is a stand-in: the real class is a singleton of the process, and so of all simulated ranks; the functions need only its barrier and three properties.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from ckpt_harness._torch import is_stateful
from ckpt_harness.engines.base import Call
from ckpt_harness.engines.filesystem import FileSystemEngine
from ckpt_harness.engines.third_party.storage_override import handed
from ckpt_harness.faults.protocol import DCP, Capability, Operation, Protocol

_FOLDER = "pytorch_model_fsdp_0"
"""The sub-directory in which accelerate saves its first model."""


def _called(operation: Operation, side: str) -> Operation:
    """The protocol of an operation of accelerate: the state dict is taken first, and the storage is not reset."""
    return dataclasses.replace(operation, before=("state.state_dict", f"{side}.checkpoint_id"))


ACCELERATE_PROTOCOL = Protocol("accelerate", {"save": _called(DCP.operations["save"], "writer"), "load": _called(DCP.operations["load"], "reader")})


class AccelerateEngine(FileSystemEngine):
    """The functions that ``Accelerator.save_state`` and ``load_state`` call for a model with ``SHARDED_STATE_DICT``."""

    def __init__(self) -> None:
        super().__init__("accelerate", "accelerate: save_fsdp_model and load_fsdp_model, in a directory", sync_files=False)
        self.protocol = ACCELERATE_PROTOCOL
        self.capabilities = frozenset({Capability.COLLECTIVES, Capability.COMMIT_MARKER, Capability.FILE_SYSTEM})

    def make_writer(self, place: str) -> Any:
        """Makes DCP's writer for the model's sub-directory."""
        return super().make_writer(str(Path(place) / _FOLDER))

    def make_reader(self, place: str) -> Any:
        """Makes DCP's reader for the model's sub-directory."""
        return super().make_reader(str(Path(place) / _FOLDER))

    def committed(self, place: str, apart: int = 0) -> bool:
        """Returns whether the model's sub-directory contains ``.metadata``."""
        return super().committed(str(Path(place) / _FOLDER), apart)

    def save(self, state: dict[str, Any], writer: Any, planner: Any, place: str, call: Call) -> None:
        """Calls ``save_fsdp_model``."""
        from accelerate.utils.fsdp_utils import save_fsdp_model

        with handed(call, storage_writer=writer, planner=planner):
            save_fsdp_model(_plugin(), _Accelerator(), _Model(state), place)

    def load(self, state: dict[str, Any], reader: Any, planner: Any, place: str, call: Call) -> None:
        """Calls ``load_fsdp_model``."""
        from accelerate.utils.fsdp_utils import load_fsdp_model

        with handed(call, storage_reader=reader, planner=planner):
            load_fsdp_model(_plugin(), _Accelerator(), _Model(state), place)


class _Model(torch.nn.Module):
    """A module whose state is the state of a case."""

    def __init__(self, state: dict[str, Any]) -> None:
        super().__init__()
        self._state = state

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]  # prefixes are not used
        return {key: value.state_dict() if is_stateful(value) else value for key, value in self._state.items()}

    def load_state_dict(self, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
        for key, value in self._state.items():
            if is_stateful(value):
                value.load_state_dict(state_dict[key])
            else:
                self._state[key] = state_dict[key]


class _Accelerator:
    """The part of ``Accelerator`` that the functions use."""

    is_fsdp2 = True

    @property
    def process_index(self) -> int:
        return dist.get_rank() if dist.is_initialized() else 0

    @property
    def num_processes(self) -> int:
        return dist.get_world_size() if dist.is_initialized() else 1

    def wait_for_everyone(self) -> None:
        if self.num_processes > 1:
            dist.barrier()


def _plugin() -> Any:
    """Makes the settings of FSDP2."""
    from accelerate import PartialState
    from accelerate.utils import FullyShardedDataParallelPlugin

    PartialState(cpu=True)  # accelerate's logger needs it
    return FullyShardedDataParallelPlugin(fsdp_version=2, state_dict_type="SHARDED_STATE_DICT")


ACCELERATE = AccelerateEngine()
