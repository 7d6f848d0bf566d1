"""A storage as somebody else would write it, from the abstract classes alone, and the mistakes that such storages make."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import os
import pickle
from pathlib import Path

import torch
from torch.distributed.checkpoint import Metadata, StorageReader, StorageWriter
from torch.distributed.checkpoint.planner import LoadItemType, WriteItemType
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future

MARKER = "COMMITTED"


def done(value=None):
    future = Future()
    future.set_result(value)
    return future


class ItemFileWriter(StorageWriter):
    """One file an item; the marker, which holds the metadata, is renamed into place. Its set-up takes no keyword arguments."""

    def __init__(self, place):
        self.place = Path(place)

    def reset(self, checkpoint_id=None):
        pass

    def set_up_storage_writer(self, is_coordinator):
        self.place.mkdir(parents=True, exist_ok=True)

    def prepare_local_plan(self, plan):
        return plan

    def prepare_global_plan(self, plans):
        save = os.urandom(4).hex()  # new names, so that an earlier save stays whole until this one is committed
        return [dataclasses.replace(plan, storage_data=f"{save}-{rank}") for rank, plan in enumerate(plans)]

    def write_data(self, plan, planner):
        results = []
        for number, item in enumerate(plan.items):
            data = planner.resolve_data(item)
            name = f"{plan.storage_data}-{number}"
            with (self.place / name).open("wb") as file:
                if item.type is WriteItemType.BYTE_IO:
                    file.write(data.getvalue())
                else:
                    torch.save(data.detach().clone(), file)
            results.append(WriteResult(item.index, (self.place / name).stat().st_size, name))
        return done(results)

    def finish(self, metadata, results):
        metadata.storage_data = {one.index: one.storage_data for of_rank in results for one in of_rank}
        self.commit(metadata)

    def commit(self, metadata):
        temporary = self.place / "marker.tmp"
        temporary.write_bytes(pickle.dumps(metadata))
        temporary.replace(self.place / MARKER)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id):
        return True


class ItemFileReader(StorageReader):
    """Its counterpart. ``read_metadata`` takes no arguments at all."""

    def __init__(self, place):
        self.place = Path(place)

    def reset(self, checkpoint_id=None):
        pass

    def read_metadata(self):
        metadata = pickle.loads((self.place / MARKER).read_bytes())
        assert isinstance(metadata, Metadata)
        return metadata

    def set_up_storage_reader(self, metadata, is_coordinator):
        self.names = metadata.storage_data

    def prepare_local_plan(self, plan):
        return plan

    def prepare_global_plan(self, plans):
        return plans

    def read_data(self, plan, planner):
        for request in plan.items:
            self.read(request, planner)
        return done()

    def read(self, request, planner):
        content = io.BytesIO((self.place / self.names[request.storage_index]).read_bytes())
        if request.type is LoadItemType.BYTE_IO:
            planner.load_bytes(request, content)
            return
        part = tuple(slice(start, start + length) for start, length in zip(request.storage_offsets, request.lengths, strict=True))
        target = planner.resolve_tensor(request).detach()
        target.copy_(torch.load(content)[part])
        planner.commit_tensor(request, target)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id):
        return True


class SwallowingWriter(ItemFileWriter):
    """Takes an error while writing for an end of the work."""

    def write_data(self, plan, planner):
        try:
            return super().write_data(plan, planner)
        except OSError:
            return done([])


class HastyWriter(ItemFileWriter):
    """Writes its marker before the data, so that the slow part is over sooner."""

    def prepare_global_plan(self, plans):
        (self.place / MARKER).write_bytes(b"")
        return super().prepare_global_plan(plans)


class CarelessReader(ItemFileReader):
    """Leaves out what it cannot find."""

    def read(self, request, planner):
        with contextlib.suppress(FileNotFoundError):
            super().read(request, planner)
