"""Engines on storages that derive from DCP's, each with a bug of its own beside a finding that such a storage inherits."""

from __future__ import annotations

import copy
import dataclasses
import json
import os
import queue
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.filesystem import _StoragePrefix, _write_files_from_queue

from ckpt_harness.engines.filesystem import FileSystemEngine
from ckpt_harness.faults.protocol import Capability


class Derived(FileSystemEngine):
    """An engine on a writer and a reader of a test.

    Args:
        name: its name.
        writer: makes its writer for a place.
        reader: makes its reader for a place.
    """

    def __init__(self, name: str, writer: Callable[[str], Any], reader: Callable[[str], Any] = dcp.FileSystemReader) -> None:
        super().__init__(name, "derives from DCP's storage", lacks=frozenset({Capability.WITHOUT_COLLECTIVES}))
        self._writer, self._reader = writer, reader

    def make_writer(self, place: str) -> Any:
        return self._writer(place)

    def make_reader(self, place: str) -> Any:
        return self._reader(place)


class PoolWriter(dcp.FileSystemWriter):
    """Writes its files in a pool, and asks no future of the pool how it ended. It replaces the method of DCP that loses errors of threads."""

    def __init__(self, place: str) -> None:
        super().__init__(place, thread_count=2, sync_files=False)

    def _write_data(self, planner: Any, file_queue: queue.Queue[Any]) -> Any:
        written: list[Any] = []

        def write(path: Any) -> None:
            files: queue.Queue[Any] = queue.Queue()
            results: queue.Queue[Any] = queue.Queue()
            files.put(path)
            _write_files_from_queue(self.fs.create_stream, files, results, planner, self.transforms, 0, self.sync_files, 1, self.serialization_format)
            written.extend(results.get_nowait())

        with ThreadPoolExecutor(1) as pool:
            for _ in range(file_queue.qsize()):
                pool.submit(write, file_queue.get_nowait())
        return _done(written)


class ForgivingWriter(dcp.FileSystemWriter):
    """Extends ``write_data`` by a handler that drops its errors, those of the caller's own thread."""

    def __init__(self, place: str) -> None:
        super().__init__(place, thread_count=2, sync_files=False)

    def write_data(self, plan: Any, planner: Any) -> Any:
        try:
            return super().write_data(plan, planner)
        except OSError:
            return _done([])


class IndexingWriter(dcp.FileSystemWriter):
    """Writes an index of its own before the metadata, and does not look at how many bytes were written."""

    def finish(self, metadata: Any, results: Any) -> None:
        with self.fs.create_stream(self.fs.concat_path(self.path, "index.bin"), "wb") as stream:
            stream.write(json.dumps({result.index.fqn: result.size_in_bytes for of_rank in results for result in of_rank}).encode())
        super().finish(metadata, results)


class IndexedReader(dcp.FileSystemReader):
    """Reads the index first."""

    def read_data(self, plan: Any, planner: Any) -> Any:
        with self.fs.create_stream(self.fs.concat_path(self.path, "index.bin"), "rb") as stream:
            try:
                json.loads(stream.read())
            except ValueError as error:
                raise EOFError(f"UnpicklingError({error})") from error
        return super().read_data(plan, planner)


class CopyingWriter(dcp.FileSystemWriter):
    """Gives the files of each save names of their own, so that no interrupted save can leave a mixture; but copies each file over the old one."""

    def prepare_global_plan(self, plans: Any) -> Any:
        save = os.urandom(3).hex()
        return [dataclasses.replace(plan, storage_data=_StoragePrefix(f"{save}_{rank}_")) for rank, plan in enumerate(plans)]

    def write_data(self, plan: Any, planner: Any) -> Any:
        future = super().write_data(plan, planner)
        save, rank, _ = plan.storage_data.prefix.split("_")
        for old in Path(self.path).glob(f"*_{rank}_0.distcp"):
            if not old.name.startswith(save):
                shutil.copyfile(old.with_name(f"{save}_{rank}_0.distcp"), old)
        return future


class LocalWriter(dcp.FileSystemWriter):
    """Stages only the local part of a sharded tensor, as a plain tensor, so that the parts of other ranks are lost."""

    def stage(self, state_dict: Any) -> Any:
        return {name: _local(value) for name, value in state_dict.items()}


class RewritingWriter(dcp.FileSystemWriter):
    """Replaces ``write_data`` by a method of its own, which empties the rank's old file before it writes."""

    def write_data(self, plan: Any, planner: Any) -> Any:
        name = f"{plan.storage_data.prefix}0.distcp"
        with self.fs.create_stream(self.fs.concat_path(self.path, name), "wb"):
            pass
        files: queue.Queue[Any] = queue.Queue()
        files.put((self.fs.concat_path(self.path, name), name, plan.items))
        return self._write_data(planner, files)


def _local(value: Any) -> Any:
    if hasattr(value, "local_shards"):
        return value.local_shards()[0].tensor.clone()
    return value.clone() if isinstance(value, torch.Tensor) else copy.deepcopy(value)


def _done(value: Any) -> torch.futures.Future[Any]:
    future: torch.futures.Future[Any] = torch.futures.Future()
    future.set_result(value)
    return future


class AtomicEngine(FileSystemEngine):
    """DCP on a file system, with the claim that a save over a checkpoint leaves the old one or the new one."""

    capabilities = FileSystemEngine.capabilities | {Capability.ATOMIC_OVERWRITE}


class NumberingWriter(dcp.FileSystemWriter):
    """Gives the files of each save a new number. Each writer begins with the same number, so the next process writes over the old files."""

    number = 0

    def prepare_global_plan(self, plans: Any) -> Any:
        self.number += 1
        return [dataclasses.replace(plan, storage_data=_StoragePrefix(f"s{self.number}_{rank}_")) for rank, plan in enumerate(plans)]


POOL = Derived("pool", PoolWriter)
FORGIVING = Derived("forgiving", ForgivingWriter)
INDEXING = Derived("indexing", IndexingWriter, IndexedReader)
COPYING = Derived("copying", CopyingWriter)
LOCAL = Derived("local", LocalWriter)
REWRITING = Derived("rewriting", RewritingWriter)
NUMBERING = Derived("numbering", NumberingWriter)
ATOMIC = AtomicEngine("atomic", "claims what DCP does not", sync_files=False)
