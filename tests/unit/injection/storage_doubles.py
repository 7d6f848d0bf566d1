"""Storage in memory that records its calls: the inner objects of the tests of wrappers."""

from __future__ import annotations

import io
import threading
from typing import Any

import torch
from torch.distributed.checkpoint import StorageReader, StorageWriter
from torch.distributed.checkpoint.metadata import MetadataIndex
from torch.distributed.checkpoint.planner import LoadItemType
from torch.distributed.checkpoint.staging import BlockingAsyncStager
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future


class MemoryWriter(StorageWriter):
    """No ``kwargs``, no ``checkpoint_id``, no stager: the writer with the fewest calls from DCP."""

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.data: dict[MetadataIndex, Any] = {}
        self.metadata: Any = None

    def note(self, name: str, *args: Any, **kwargs: Any) -> None:
        on = "caller" if threading.current_thread() is threading.main_thread() else "executor"
        self.calls.append((on, name, tuple(type(a).__name__ for a in args), tuple(kwargs)))

    def reset(self, checkpoint_id: Any = None) -> None:
        self.note("reset", checkpoint_id)

    def set_up_storage_writer(self, is_coordinator: bool) -> None:
        self.note("set_up_storage_writer", is_coordinator)

    def prepare_local_plan(self, plan: Any) -> Any:
        self.note("prepare_local_plan", plan)
        return plan

    def prepare_global_plan(self, plans: Any) -> Any:
        self.note("prepare_global_plan", plans)
        return plans

    def write_data(self, plan: Any, planner: Any) -> Future[Any]:
        self.note("write_data", plan)
        results = []
        for item in plan.items:
            data = planner.resolve_data(item)
            self.data[item.index] = data.getvalue() if isinstance(data, io.BytesIO) else data.clone()
            results.append(WriteResult(item.index, 0, None))
        future: Future[Any] = Future()
        future.set_result(results)
        return future

    def finish(self, metadata: Any, results: Any) -> None:
        self.note("finish", metadata=metadata, results=results)
        self.metadata = metadata

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        return False

    def hook_of_a_newer_torch(self) -> str:
        return "inner"


class KwargsWriter(MemoryWriter):
    """Takes ``kwargs``, and so receives its rank; has a ``checkpoint_id``."""

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        self.note("set_up_storage_writer", is_coordinator, *args, **kwargs)

    @property
    def checkpoint_id(self) -> str:
        self.note("checkpoint_id")
        return "memory"


class StagingWriter(KwargsWriter, BlockingAsyncStager):
    """Stages the state itself."""

    _synchronize_after_execute = True

    def __init__(self) -> None:
        KwargsWriter.__init__(self)
        BlockingAsyncStager.__init__(self)

    def stage(self, state_dict: Any) -> Any:
        self.note("stage", state_dict)
        return super().stage(state_dict)

    def synchronize_staging(self) -> None:
        self.note("synchronize_staging")


class MemoryReader(StorageReader):
    """Reads the data of a ``MemoryWriter``; no method takes ``kwargs``, as in some real readers."""

    def __init__(self, written: MemoryWriter) -> None:
        self.written = written
        self.calls: list[str] = []

    def reset(self, checkpoint_id: Any = None) -> None:
        self.calls.append("reset")

    def read_metadata(self) -> Any:
        self.calls.append("read_metadata")
        return self.written.metadata

    def set_up_storage_reader(self, metadata: Any, is_coordinator: bool) -> None:
        self.calls.append("set_up_storage_reader")

    def prepare_local_plan(self, plan: Any) -> Any:
        self.calls.append("prepare_local_plan")
        return plan

    def prepare_global_plan(self, plans: Any) -> Any:
        self.calls.append("prepare_global_plan")
        return plans

    def read_data(self, plan: Any, planner: Any) -> Future[None]:
        self.calls.append("read_data")
        for item in plan.items:
            data = self.written.data[item.storage_index]
            if item.type == LoadItemType.BYTE_IO:
                planner.load_bytes(item, io.BytesIO(data))
            else:
                target = planner.resolve_tensor(item)
                target.copy_(data)
                planner.commit_tensor(item, target)
        future: Future[None] = Future()
        future.set_result(None)
        return future

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        return False


class KwargsReader(MemoryReader):
    """Takes ``kwargs``, and so DCP may ask it for the rank's own metadata."""

    def read_metadata(self, *args: Any, **kwargs: Any) -> Any:
        self.calls.append(f"read_metadata {sorted(kwargs)}")
        return self.written.metadata


def state() -> dict[str, Any]:
    """A tensor and an object."""
    return {"weight": torch.arange(6.0), "extra": [1, "two"]}


def blank() -> dict[str, Any]:
    """A state of the same shape to load into."""
    return {"weight": torch.full((6,), float("nan")), "extra": None}
