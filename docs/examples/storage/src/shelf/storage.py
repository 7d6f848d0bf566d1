"""The writer and the reader. They reach the disk through ``fs``, so that a test can put a faulty file system there."""

import dataclasses
import io
import os
import pickle
import zlib
from pathlib import Path

import torch
from torch.distributed.checkpoint import StorageReader, StorageWriter
from torch.distributed.checkpoint.filesystem import FileSystem
from torch.distributed.checkpoint.planner import LoadItemType, WriteItemType
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future

COMMIT = "COMMIT"


def _done(value=None):
    future = Future()
    future.set_result(value)
    return future


class ShelfWriter(StorageWriter):
    def __init__(self, place):
        self.place, self.fs = Path(place), FileSystem()

    def reset(self, checkpoint_id=None):
        if checkpoint_id:
            self.place = Path(checkpoint_id)

    def set_up_storage_writer(self, is_coordinator, *args, **kwargs):
        self.fs.mkdir(self.place)

    def prepare_local_plan(self, plan):
        return plan

    def prepare_global_plan(self, plans):
        save = os.urandom(4).hex()  # new names, so that an earlier save stays whole until this one is committed
        return [dataclasses.replace(plan, storage_data=f"{save}.{rank}") for rank, plan in enumerate(plans)]

    def write_data(self, plan, planner):
        return _done(list(self._write(plan.storage_data, plan.items, planner)))

    def _write(self, name, items, planner):
        with self.fs.create_stream(self.place / name, "wb") as file:
            for item in items:
                data, start = planner.resolve_data(item), file.tell()
                if item.type is not WriteItemType.BYTE_IO:
                    torch.save(data.detach().clone(), tensor := io.BytesIO())
                    data = tensor
                content = data.getvalue()
                if file.write(content) != len(content):
                    raise OSError(f"{name}: not all bytes were written")
                yield WriteResult(item.index, len(content), (name, start, len(content), zlib.crc32(content)))
            file.flush()
            os.fsync(file.fileno())

    def finish(self, metadata, results):
        metadata.storage_data = {result.index: result.storage_data for of_rank in results for result in of_rank}
        content = pickle.dumps(metadata)
        with self.fs.create_stream(self.place / f"{COMMIT}.new", "wb") as file:
            for part in (zlib.crc32(content).to_bytes(4, "big"), content):
                if file.write(part) != len(part):
                    raise OSError(f"{COMMIT}: not all bytes were written")
            file.flush()
            os.fsync(file.fileno())
        self.fs.rename(self.place / f"{COMMIT}.new", self.place / COMMIT)
        kept = {COMMIT, *(name for name, *_ in metadata.storage_data.values())}
        for file in self.fs.ls(self.place):
            if Path(file).name not in kept:
                self.fs.rm_file(file)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id):
        return True


class ShelfReader(StorageReader):
    def __init__(self, place):
        self.place, self.fs = Path(place), FileSystem()

    def reset(self, checkpoint_id=None):
        if checkpoint_id:
            self.place = Path(checkpoint_id)

    def read_metadata(self):
        with self.fs.create_stream(self.place / COMMIT, "rb") as file:
            content = file.read()
        return pickle.loads(_checked(COMMIT, content[4:], int.from_bytes(content[:4], "big")))

    def set_up_storage_reader(self, metadata, is_coordinator):
        self.where = metadata.storage_data

    def prepare_local_plan(self, plan):
        return plan

    def prepare_global_plan(self, plans):
        return plans

    def read_data(self, plan, planner):
        for request in plan.items:
            name, start, length, checksum = self.where[request.storage_index]
            with self.fs.create_stream(self.place / name, "rb") as file:
                file.seek(start)
                content = io.BytesIO(_checked(name, file.read(length), checksum))
            if request.type is LoadItemType.BYTE_IO:
                planner.load_bytes(request, content)
                continue
            part = tuple(slice(first, first + count) for first, count in zip(request.storage_offsets, request.lengths))
            target = planner.resolve_tensor(request).detach()
            target.copy_(torch.load(content)[part])
            planner.commit_tensor(request, target)
        return _done()

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id):
        return True


def _checked(name, content, checksum):
    if zlib.crc32(content) != checksum:
        raise OSError(f"{name}: damaged")
    return content
