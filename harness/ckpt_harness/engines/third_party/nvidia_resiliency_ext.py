"""NVIDIA's resiliency extension: asynchronous saves with planning and commit of its own, in a directory.

Here ``save_state_dict_async_plan``, the writing, and ``save_state_dict_async_finalize`` follow each other directly; the package allows synchronous writing.
State dicts of ``Stateful`` objects are taken before the call, as the package's callers do. Loads are DCP's.

Not modelled: the writer processes, one for each file (the rank itself calls their function); copies from a GPU; the queue of requests, which asks all
ranks on the current CUDA device whether they have finished; cached and decentralized plans.
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
    """A ``FileSystemWriterAsync`` with the functions that plan and commit its saves.

    Args:
        name: the name on the command line.
        about: a description of one line.
        package: the package of the modules ``filesystem_async`` and ``state_dict_saver``.
    """

    def __init__(self, name: str, about: str, package: str) -> None:
        super().__init__(name, about)
        self._package = package
        self.protocol = WRITTEN_APART
        self.capabilities = frozenset({Capability.COLLECTIVES, Capability.ANY_COORDINATOR, Capability.COMMIT_MARKER})

    def make_writer(self, place: str) -> Any:
        """Makes a writer of at most two files."""
        module = self._module("filesystem_async")
        module._results_queue = object()  # in place of a queue in a server process; _write() passes on the results of each save
        return module.FileSystemWriterAsync(place, thread_count=2)

    def save(self, state: dict[str, Any], writer: Any, planner: Any, place: str, call: Call) -> None:
        """Plans, writes and commits."""
        saver = self._module("state_dict_saver")
        plain = {key: value.state_dict() if is_stateful(value) else value for key, value in state.items()}
        planned = self.planned(saver.save_state_dict_async_plan(plain, writer, call.group, call.coordinator, planner))
        _write(writer)
        saver.save_state_dict_async_finalize(*planned)

    def planned(self, returned: Any) -> Any:
        """Selects the arguments of the function that commits from the values that the function that plans has returned."""
        return returned

    def _module(self, name: str) -> Any:
        return importlib.import_module(f"{self._package}.{name}")


def _write(writer: Any) -> None:
    """Writes each file as a writer process would, and puts the results on the queue as the parent of these processes would."""
    results: queue.SimpleQueue[tuple[int, Any]] = queue.SimpleQueue()
    started: queue.Queue[int] = queue.Queue()
    for number, bucket in enumerate(writer.write_buckets):
        started.put(number)
        writer.write_preloaded_data([writer.transforms], number, bucket, results, started, use_fsync=False)
    written = [results.get() for _ in writer.write_buckets]
    failed = next((result for _, result in written if isinstance(result, Exception)), None)
    writer.results_queue = queue.SimpleQueue()
    writer.results_queue.put(dict(written) if failed is None else failed)


NVIDIA_RESILIENCY_EXT = WrittenApartEngine(
    "nvidia-resiliency-ext",
    "NVIDIA's resiliency extension: FileSystemWriterAsync with its planning and commit; the rank itself writes",
    "nvidia_resiliency_ext.checkpointing.async_ckpt",
)
