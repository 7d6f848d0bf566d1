"""NVIDIA's resiliency extension: asynchronous saves, planned and committed beside DCP's own functions, on a directory.

``save_state_dict_async_plan``, the writing, and ``save_state_dict_async_finalize`` follow each other here: the package says that the middle part can
also be done synchronously. Objects with state have given it before, as by its callers. Loads are DCP's.

Not modelled: the processes that write, one for each file (the function that each would call is called by the rank instead); copies from a GPU;
the queue of requests, which asks all ranks on the current CUDA device whether they are done; cached and decentralized plans.
"""

from __future__ import annotations

import dataclasses
import importlib
import queue
from typing import Any

from ckpt_harness._torch import is_stateful
from ckpt_harness.engines.base import Call
from ckpt_harness.engines.filesystem import FileSystemEngine
from ckpt_harness.faults.protocol import DCP, Capability, Operation, Protocol, Step

_PLAN, _ = DCP.operations["save"].steps
_WRITE = Step("write", map=("save_planner.finish_plan", "save_planner.resolve_data"), reduce=("writer.finish",))

WRITTEN_APART = Protocol(
    "DCP, written apart",
    {
        "save": Operation(
            ("state.state_dict",), (dataclasses.replace(_PLAN, map=tuple(site for site in _PLAN.map if site != "writer.storage_meta")), _WRITE)
        ),
        "load": DCP.operations["load"],
    },
)


class WrittenApartEngine(FileSystemEngine):
    """A ``FileSystemWriterAsync`` under the two functions that plan and commit what it writes.

    Args:
        name: for the command line.
        about: one line.
        package: where the modules ``filesystem_async`` and ``state_dict_saver`` are.
    """

    def __init__(self, name: str, about: str, package: str) -> None:
        super().__init__(name, about)
        self._package = package
        self.protocol = WRITTEN_APART
        self.capabilities = frozenset({Capability.COLLECTIVES, Capability.ANY_COORDINATOR, Capability.COMMIT_MARKER})

    def make_writer(self, place: str) -> Any:
        """A writer for the directory, of at most two files."""
        module = self._module("filesystem_async")
        module._results_queue = object()  # instead of one on a server process of its own; _write hands in what comes of each save
        return module.FileSystemWriterAsync(place, thread_count=2)

    def save(self, state: dict[str, Any], writer: Any, planner: Any, place: str, call: Call) -> None:
        """Plans, writes and commits."""
        saver = self._module("state_dict_saver")
        plain = {key: value.state_dict() if is_stateful(value) else value for key, value in state.items()}
        planned = self.planned(saver.save_state_dict_async_plan(plain, writer, call.group, call.coordinator, planner))
        _write(writer)
        saver.save_state_dict_async_finalize(*planned)

    def planned(self, returned: Any) -> Any:
        """What is to be handed to the function that commits, of what the one that plans has returned."""
        return returned

    def _module(self, name: str) -> Any:
        return importlib.import_module(f"{self._package}.{name}")


def _write(writer: Any) -> None:
    """Writes each file as a process of its own would, and hands in what came of it as their parent would."""
    results: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
    started: queue.Queue[int] = queue.Queue()
    for number, bucket in enumerate(writer.write_buckets):
        started.put(number)
        writer.write_preloaded_data([writer.transforms], number, bucket, results, started, use_fsync=False)
    came = [results.get() for _ in writer.write_buckets]
    failed = next((result for _, result in came if isinstance(result, Exception)), None)
    writer.results_queue = queue.SimpleQueue()
    writer.results_queue.put(dict(came) if failed is None else failed)


NVIDIA_RESILIENCY_EXT = WrittenApartEngine(
    "nvidia-resiliency-ext",
    "NVIDIA's FileSystemWriterAsync, planned and committed as its asynchronous saves are, written by the rank itself",
    "nvidia_resiliency_ext.checkpointing.async_ckpt",
)
