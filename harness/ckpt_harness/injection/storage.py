"""Storage writers and readers that fail where the plan says so: one line per site, then the wrapped object's own method.

The wrappers work around any implementation, under any launcher, and need no world. DCP looks at a storage before it calls it: at signatures, the
``AsyncStager`` protocol, the attribute ``checkpoint_id``, the truth value. A wrapper shows those of the wrapped object, so the engine takes the same
path as without the wrapper.
"""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

from torch.distributed.checkpoint import StorageReader, StorageWriter
from torch.distributed.checkpoint.staging import AsyncStager

from ckpt_harness.injection.filesystem import watch_disk
from ckpt_harness.injection.futures import faulty_future
from ckpt_harness.injection.injector import Injector
from ckpt_harness.injection.wrapper import Wrapper, mirroring, passing_on, wrapped

_ABSENT = object()


class _StorageWrapper(Wrapper):
    """What the wrappers of writers and readers share: the file system below, and the site ``checkpoint_id``."""

    def _wrap(self, inner: Any, faults: Injector) -> None:
        super()._wrap(inner, faults)
        watch_disk(inner, faults)

    def __getattr__(self, name: str) -> Any:
        # No property of the class: where the wrapped object has no checkpoint_id, the wrapper has none either, and no call is counted.
        if name == "checkpoint_id" and _has(self._inner, name):
            return self._faults.call(f"{self._side}.checkpoint_id", getattr, self._inner, name)
        return super().__getattr__(name)


def _has(storage: Any, name: str) -> bool:
    """Whether ``storage`` has an attribute. A property is not read, since it may do work, or fail."""
    if isinstance(storage, _StorageWrapper):
        return _has(storage._inner, name)
    if inspect.getattr_static(storage, name, _ABSENT) is not _ABSENT:
        return True
    return hasattr(type(storage), "__getattr__") and hasattr(storage, name)


@passing_on(StorageWriter)
class FaultyStorageWriter(_StorageWrapper, StorageWriter):
    """A storage writer whose calls fail where the plan says so.

    Args:
        inner: any storage writer. The wrapper of an ``AsyncStager`` is an ``AsyncStager`` too.
        plan: the faults, or their text, in which the prefix ``writer.`` may be left out; empty for a wrapper that injects nothing. Faults at disk
            sites (``fs.write``) need a writer with a ``FileSystemBase`` in its attribute ``fs``. The wrapper replaces the attribute for good.
        rank: the caller's rank in the world, where neither a process group nor the launcher provides it.

    Attributes:
        plan: the plan.
        fired: the faults that fired so far.

    Raises:
        PlanError: the plan is malformed, or could never act in this wrapper and world.
        UsageError: ``inner`` is no storage writer.

    Example:
        >>> import tempfile, torch
        >>> import torch.distributed.checkpoint as dcp
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     writer = FaultyStorageWriter(dcp.FileSystemWriter(folder), "write_data@0=raise(OSError:EIO)")
        ...     try:
        ...         dcp.save({"weight": torch.ones(2)}, storage_writer=writer, no_dist=True)
        ...     except dcp.CheckpointException as error:
        ...         print(error.failures[0][0])
        [Errno 5] Input/output error [injected at writer.write_data on rank 0]
        >>> [firing.fault for firing in writer.fired]
        ['writer.write_data@0=raise(OSError:EIO)']
    """

    _side: ClassVar[str] = "writer"
    _needs: ClassVar[str] = "write_data"

    @classmethod
    def _fitting(cls, inner: Any) -> type[FaultyStorageWriter]:
        return _StagingStorageWriter if isinstance(inner, AsyncStager) else cls

    @classmethod
    def resolved(cls, inner: Any, faults: Injector, *, stages: bool) -> FaultyStorageWriter:
        """A wrapper for a writer that DCP resolved from a ``checkpoint_id``. Only some versions of torch use such a writer as a stager.

        Args:
            inner: the writer.
            faults: the injector of the case.
            stages: whether the wrapper may be an ``AsyncStager``.
        """
        return wrapped(cls._fitting(inner) if stages else cls, inner, faults)

    def reset(self, *args: Any, **kwargs: Any) -> Any:
        return self._faults.call("writer.reset", self._inner.reset, *args, **kwargs)

    def storage_meta(self, *args: Any, **kwargs: Any) -> Any:
        return self._faults.call("writer.storage_meta", self._inner.storage_meta, *args, **kwargs)

    @mirroring
    def set_up_storage_writer(self, *args: Any, **kwargs: Any) -> Any:
        self._learn_role(0, args, kwargs)
        return self._faults.call("writer.set_up_storage_writer", self._inner.set_up_storage_writer, *args, **kwargs)

    def prepare_local_plan(self, *args: Any, **kwargs: Any) -> Any:
        return self._faults.call("writer.prepare_local_plan", self._inner.prepare_local_plan, *args, **kwargs)

    def prepare_global_plan(self, *args: Any, **kwargs: Any) -> Any:
        return self._faults.call("writer.prepare_global_plan", self._inner.prepare_global_plan, *args, **kwargs)

    def write_data(self, *args: Any, **kwargs: Any) -> Any:
        future = self._faults.call("writer.write_data", self._inner.write_data, *args, **kwargs)
        return faulty_future(self._faults, "writer.write_data.future", future)

    def finish(self, *args: Any, **kwargs: Any) -> Any:
        return self._faults.call("writer.finish", self._inner.finish, *args, **kwargs)

    def validate_checkpoint_id(self, *args: Any, **kwargs: Any) -> bool:  # type: ignore[override]  # of the wrapped object
        return bool(self._inner.validate_checkpoint_id(*args, **kwargs))


@passing_on(AsyncStager)
class _StagingStorageWriter(FaultyStorageWriter, AsyncStager):
    """The wrapper of a writer that is its own stager. It derives from the protocol, so ``isinstance`` holds in every version of Python."""

    @property
    def _synchronize_after_execute(self) -> bool:  # type: ignore[override]  # the protocol's default is a class attribute
        return bool(self._inner._synchronize_after_execute)

    @property
    def should_synchronize_after_execute(self) -> bool:
        return bool(self._inner.should_synchronize_after_execute)

    def stage(self, *args: Any, **kwargs: Any) -> Any:
        return self._faults.call("writer.stage", self._inner.stage, *args, **kwargs)

    def synchronize_staging(self, *args: Any, **kwargs: Any) -> Any:
        return self._faults.call("writer.synchronize_staging", self._inner.synchronize_staging, *args, **kwargs)

    def close(self) -> None:
        self._inner.close()


@passing_on(StorageReader)
class FaultyStorageReader(_StorageWrapper, StorageReader):
    """A storage reader whose calls fail where the plan says so.

    Args:
        inner: any storage reader.
        plan: the faults, or their text, in which the prefix ``reader.`` may be left out; empty for a wrapper that injects nothing. Faults at disk
            sites (``fs.read``) need a reader with a ``FileSystemBase`` in its attribute ``fs``. The wrapper replaces the attribute for good.
        rank: the caller's rank in the world, where neither a process group nor the launcher provides it.

    Attributes:
        plan: the plan.
        fired: the faults that fired so far.

    Raises:
        PlanError: the plan is malformed, or could never act in this wrapper and world.
        UsageError: ``inner`` is no storage reader.

    Example:
        >>> import tempfile, torch
        >>> import torch.distributed.checkpoint as dcp
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = dcp.save({"weight": torch.ones(2)}, checkpoint_id=folder, no_dist=True)
        ...     reader = FaultyStorageReader(dcp.FileSystemReader(folder), "read_data@0=raise(OSError:EIO)")
        ...     try:
        ...         dcp.load({"weight": torch.zeros(2)}, storage_reader=reader, no_dist=True)
        ...     except dcp.CheckpointException as error:
        ...         print(error.failures[0][0])
        [Errno 5] Input/output error [injected at reader.read_data on rank 0]
    """

    _side: ClassVar[str] = "reader"
    _needs: ClassVar[str] = "read_data"

    def reset(self, *args: Any, **kwargs: Any) -> Any:
        return self._faults.call("reader.reset", self._inner.reset, *args, **kwargs)

    @mirroring
    def read_metadata(self, *args: Any, **kwargs: Any) -> Any:
        return self._faults.call("reader.read_metadata", self._inner.read_metadata, *args, **kwargs)

    @mirroring
    def set_up_storage_reader(self, *args: Any, **kwargs: Any) -> Any:
        self._learn_role(1, args, kwargs)
        return self._faults.call("reader.set_up_storage_reader", self._inner.set_up_storage_reader, *args, **kwargs)

    def prepare_local_plan(self, *args: Any, **kwargs: Any) -> Any:
        return self._faults.call("reader.prepare_local_plan", self._inner.prepare_local_plan, *args, **kwargs)

    def prepare_global_plan(self, *args: Any, **kwargs: Any) -> Any:
        return self._faults.call("reader.prepare_global_plan", self._inner.prepare_global_plan, *args, **kwargs)

    def read_data(self, *args: Any, **kwargs: Any) -> Any:
        future = self._faults.call("reader.read_data", self._inner.read_data, *args, **kwargs)
        return faulty_future(self._faults, "reader.read_data.future", future)

    def validate_checkpoint_id(self, *args: Any, **kwargs: Any) -> bool:  # type: ignore[override]  # of the wrapped object
        return bool(self._inner.validate_checkpoint_id(*args, **kwargs))
