"""accelerate's ``save_fsdp_model`` and ``load_fsdp_model``, with DCP's storage on a directory.

They take a model and nest its state under a key, so the case's state is that of a module which is not sharded itself; what DCP would do with a ``Stateful`` the
module's ``state_dict()`` and ``load_state_dict()`` do, before and after DCP. Everybody meets at a barrier before and after a load.

Not modelled: models of FSDP, whose state dicts need an accelerator; optimizers, which are saved by the same calls; ``use_dcp=False``. The accelerator is a
stand-in: of the real one, which is one for a process and so for all simulated ranks, the functions need its barrier and three facts.
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
from ckpt_harness.engines.third_party.handing import handed
from ckpt_harness.faults.protocol import DCP, Capability, Operation, Protocol

_FOLDER = "pytorch_model_fsdp_0"
"""Where, below the directory that it is given, accelerate puts its first model."""


def _called(operation: Operation, side: str) -> Operation:
    """An operation before which the model has given its state, and whose storage knows its path and is not reset."""
    return dataclasses.replace(operation, before=("state.state_dict", f"{side}.checkpoint_id"))


ACCELERATE_PROTOCOL = Protocol("accelerate", {"save": _called(DCP.operations["save"], "writer"), "load": _called(DCP.operations["load"], "reader")})


class AccelerateEngine(FileSystemEngine):
    """What ``Accelerator.save_state`` and ``load_state`` call for a model with ``SHARDED_STATE_DICT``."""

    def __init__(self) -> None:
        super().__init__("accelerate", "accelerate's save_fsdp_model, on a directory", sync_files=False)
        self.protocol = ACCELERATE_PROTOCOL
        self.capabilities = frozenset({Capability.COLLECTIVES, Capability.COMMIT_MARKER, Capability.FILE_SYSTEM})

    def make_writer(self, place: str) -> Any:
        """DCP's, for the folder of the model."""
        return super().make_writer(str(Path(place) / _FOLDER))

    def make_reader(self, place: str) -> Any:
        """DCP's, likewise."""
        return super().make_reader(str(Path(place) / _FOLDER))

    def committed(self, place: str, apart: int = 0) -> bool:
        """Whether the model's folder holds ``.metadata``."""
        return super().committed(str(Path(place) / _FOLDER), apart)

    def save(self, state: dict[str, Any], writer: Any, planner: Any, place: str, call: Call) -> None:
        """``save_fsdp_model``."""
        from accelerate.utils.fsdp_utils import save_fsdp_model

        with handed(call, storage_writer=writer, planner=planner):
            save_fsdp_model(_plugin(), _Accelerator(), _Model(state), place)

    def load(self, state: dict[str, Any], reader: Any, planner: Any, place: str, call: Call) -> None:
        """``load_fsdp_model``."""
        from accelerate.utils.fsdp_utils import load_fsdp_model

        with handed(call, storage_reader=reader, planner=planner):
            load_fsdp_model(_plugin(), _Accelerator(), _Model(state), place)


class _Model(torch.nn.Module):
    """A module whose state is a case's."""

    def __init__(self, state: dict[str, Any]) -> None:
        super().__init__()
        self._state = state

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Any]:  # type: ignore[override]  # all of it, whatever prefix
        return {key: value.state_dict() if is_stateful(value) else value for key, value in self._state.items()}

    def load_state_dict(self, state_dict: Any, *args: Any, **kwargs: Any) -> Any:
        for key, value in self._state.items():
            if is_stateful(value):
                value.load_state_dict(state_dict[key])
            else:
                self._state[key] = state_dict[key]


class _Accelerator:
    """What the functions ask of an ``Accelerator``."""

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
    """The settings of FSDP2, which wraps no modules."""
    from accelerate import PartialState
    from accelerate.utils import FullyShardedDataParallelPlugin

    PartialState(cpu=True)  # without one, accelerate's logger refuses to log
    return FullyShardedDataParallelPlugin(fsdp_version=2, state_dict_type="SHARDED_STATE_DICT")


ACCELERATE = AccelerateEngine()
