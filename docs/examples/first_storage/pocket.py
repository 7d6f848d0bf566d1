"""A storage for checkpoints: one file for each tensor or object, written by a few threads."""

import dataclasses
import io
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from torch.distributed.checkpoint import StorageReader, StorageWriter
from torch.distributed.checkpoint.planner import LoadItemType
from torch.distributed.checkpoint.storage import WriteResult
from torch.futures import Future


class PocketWriter(StorageWriter):
    def __init__(self, place):
        self.place = Path(place)

    def reset(self, checkpoint_id=None):
        self.place = Path(checkpoint_id or self.place)

    def set_up_storage_writer(self, is_coordinator, *args, **kwargs):
        self.place.mkdir(parents=True, exist_ok=True)

    def prepare_local_plan(self, plan):
        return plan

    def prepare_global_plan(self, plans):
        save = os.urandom(4).hex()  # new names for each save: an older checkpoint stays whole until this one is committed
        return [dataclasses.replace(plan, storage_data=f"{save}.{rank}") for rank, plan in enumerate(plans)]

    def write_data(self, plan, planner):
        results = []

        def write(number, item):
            content = _content(planner.resolve_data(item))
            name = f"{plan.storage_data}.{number}"
            (self.place / name).write_bytes(content)
            results.append(WriteResult(item.index, len(content), name))

        with ThreadPoolExecutor(4) as pool:
            pool.map(write, range(len(plan.items)), plan.items)
        return _done(results)

    def finish(self, metadata, results):
        metadata.storage_data = {result.index: result.storage_data for of_rank in results for result in of_rank}
        (self.place / "METADATA.new").write_bytes(pickle.dumps(metadata))
        (self.place / "METADATA.new").replace(self.place / "METADATA")

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id):
        return True


class PocketReader(StorageReader):
    def __init__(self, place):
        self.place = Path(place)

    def reset(self, checkpoint_id=None):
        self.place = Path(checkpoint_id or self.place)

    def read_metadata(self):
        return pickle.loads((self.place / "METADATA").read_bytes())

    def set_up_storage_reader(self, metadata, is_coordinator):
        self.files = metadata.storage_data

    def prepare_local_plan(self, plan):
        return plan

    def prepare_global_plan(self, plans):
        return plans

    def read_data(self, plan, planner):
        for item in plan.items:
            content = (self.place / self.files[item.storage_index]).read_bytes()
            if item.type is LoadItemType.BYTE_IO:
                planner.load_bytes(item, io.BytesIO(content))
                continue
            part = tuple(slice(start, start + length) for start, length in zip(item.storage_offsets, item.lengths))
            target = planner.resolve_tensor(item).detach()
            target.copy_(pickle.loads(content)[part])
            planner.commit_tensor(item, target)
        return _done()

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id):
        return True


def _content(data):
    return data.getvalue() if isinstance(data, io.BytesIO) else pickle.dumps(data.detach().clone())


def _done(value=None):
    future = Future()
    future.set_result(value)
    return future
