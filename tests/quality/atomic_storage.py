"""A correct storage: each save writes new files, makes them durable, and commits by one rename; a load compares the checksum of every item.

Disk bugs are planted in this storage (``bugs_disk.py``). Without a bug, the harness must report no violation. A save makes ``save-N/`` with one file per
rank, and ``save-N.metadata``, which becomes ``.metadata``. The storage does not remove the files of earlier or failed saves; no reader reads them.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import pickle
from typing import Any, NamedTuple

import torch
from torch.distributed.checkpoint import FileSystemReader, FileSystemWriter
from torch.distributed.checkpoint.planner import LoadItemType, WriteItemType
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future

from ckpt_harness.engines.filesystem import FileSystemEngine
from ckpt_harness.faults.protocol import Capability

_DIGEST = 32


class Stored(NamedTuple):
    """The place of an item, and its checksum."""

    relative_path: str
    offset: int
    length: int
    digest: bytes


class AtomicWriter(FileSystemWriter):
    """Writes so that after any failure at any time the old or the new checkpoint loads."""

    def prepare_local_plan(self, plan):
        return plan

    def prepare_global_plan(self, plans):
        number = 1
        while self.fs.exists(self.path / f"save-{number}"):
            number += 1
        self.save_name = f"save-{number}"
        self.fs.mkdir(self.path / self.save_name)
        self.sync_directory(self.path.parent)
        self.sync_directory(self.path)
        return [dataclasses.replace(plan, storage_data=f"{self.save_name}/__{rank}_0.distcp") for rank, plan in enumerate(plans)]

    def write_data(self, plan, planner):
        content, results = bytearray(), []
        for item in plan.items:
            data = serialized(item, planner.resolve_data(item))
            stored = Stored(plan.storage_data, len(content), len(data), hashlib.sha256(data).digest())
            content += data
            results.append(WriteResult(item.index, len(data), stored))
        file = self.path / plan.storage_data
        self.store(file, content)
        self.sync_directory(file.parent)
        return completed(results)

    def finish(self, metadata, results):
        metadata.storage_data = {item.index: item.storage_data for written in results for item in written}
        metadata.storage_meta = self.storage_meta()
        content = pickle.dumps(metadata)
        temporary = self.path / f"{self.save_name}.metadata"
        self.store(temporary, content + hashlib.sha256(content).digest())
        self.fs.rename(temporary, self.path / ".metadata")
        self.sync_directory(self.path)

    def store(self, path, content):
        """Writes a new file and makes its bytes durable, but not its name."""
        with self.fs.create_stream(path, "xb") as stream:
            left = memoryview(content)
            while left:
                written = stream.write(left)
                if not written:
                    raise OSError(f"{path.name} takes no more bytes")
                left = left[written:]
            stream.flush()
            os.fsync(stream.fileno())

    def sync_directory(self, path):
        """Makes the names in a directory durable."""
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


class AtomicReader(FileSystemReader):
    """Reads a committed checkpoint, and compares checksums."""

    def read_metadata(self):  # without **kwargs: there is no metadata per rank
        return pickle.loads(self.checked_metadata(self.path / ".metadata"))

    def checked_metadata(self, path):
        with self.fs.create_stream(path, "rb") as stream:
            content = stream.read()
        self.check(path.name, content[:-_DIGEST], content[-_DIGEST:])
        return content[:-_DIGEST]

    def read_data(self, plan, planner):
        files = {}
        for item in plan.items:
            stored = self.storage_data[item.storage_index]
            if stored.relative_path not in files:
                with self.fs.create_stream(self.path / stored.relative_path, "rb") as stream:
                    files[stored.relative_path] = stream.read()
            data = files[stored.relative_path][stored.offset : stored.offset + stored.length]
            self.check(item.storage_index.fqn, data, stored.digest)
            give(planner, item, data)
        return completed(None)

    def check(self, name, data, digest):
        if hashlib.sha256(data).digest() != digest:
            raise ValueError(f"{name} is not what was written")


def serialized(item: Any, data: Any) -> bytes:
    """The bytes of an item."""
    if item.type is WriteItemType.BYTE_IO:
        return bytes(data.getbuffer())
    buffer = io.BytesIO()
    torch.save(data.detach().cpu().clone(), buffer)
    return buffer.getvalue()


def give(planner: Any, item: Any, data: bytes) -> None:
    """Hands the bytes of one item to the planner."""
    if item.type is LoadItemType.BYTE_IO:
        planner.load_bytes(item, io.BytesIO(data))
        return
    tensor = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    for dimension, (start, length) in enumerate(zip(item.storage_offsets, item.lengths, strict=True)):
        tensor = tensor.narrow(dimension, start, length)
    target = planner.resolve_tensor(item).detach()
    target.copy_(tensor)
    planner.commit_tensor(item, target)


def completed(value: Any) -> Future[Any]:
    """A completed future."""
    future: Future[Any] = Future()
    future.set_result(value)
    return future


class AtomicEngine(FileSystemEngine):
    """DCP with ``AtomicWriter`` and ``AtomicReader``."""

    def __init__(self, name: str, about: str, capabilities: frozenset[Capability]) -> None:
        super().__init__(name, about)
        self.capabilities = capabilities

    def make_writer(self, place: str) -> AtomicWriter:
        return AtomicWriter(place)

    def make_reader(self, place: str) -> AtomicReader:
        return AtomicReader(place)


_ALL = frozenset(
    {
        Capability.COLLECTIVES,
        Capability.ANY_COORDINATOR,
        Capability.COMMIT_MARKER,
        Capability.FILE_SYSTEM,
        Capability.CHECKSUMS,
        Capability.ATOMIC_OVERWRITE,
        Capability.DURABLE_COMMIT,
    }
)

ATOMIC = AtomicEngine("atomic", "new files, made durable, committed by one rename, with checksums", _ALL)
"""The engine does not claim to detect lies: a storage cannot see wrong plans of DCP's planners, or calls that the harness skips."""

MODEST = AtomicEngine("modest", "the same, without the claim of an atomic overwrite", _ALL - {Capability.ATOMIC_OVERWRITE})
