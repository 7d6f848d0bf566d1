"""A correct storage on an object store: it checks every answer, retries where a retry may help, gives up in time, and compares checksums.

Bugs of network code are planted in this storage (``bugs_network.py``). Without a bug, the harness must report no violation. A save puts one object per
rank, and then ``metadata``, which commits the checkpoint.
"""

from __future__ import annotations

import dataclasses
import hashlib
import http.client
import io
import pickle
from urllib.parse import urlsplit

import torch
from atomic_storage import completed
from torch.distributed.checkpoint import StorageReader, StorageWriter
from torch.distributed.checkpoint.planner import LoadItemType, WriteItemType
from torch.distributed.checkpoint.storage import WriteResult

from ckpt_harness.engines import moto
from ckpt_harness.engines.dcp import DcpCalls
from ckpt_harness.faults.protocol import DCP, Capability
from ckpt_harness.injection.object_store import reach

TRIES = 3


class Store:
    """A client for one prefix."""

    def __init__(self, place):
        address, self.key = moto.Place.of(place)
        self.host = urlsplit(reach(address)).netloc

    def put(self, name, body):
        self.asked("PUT", name, body)

    def get(self, name):
        return self.asked("GET", name)

    def asked(self, method, name, body=b""):
        for attempt in range(TRIES):
            try:
                status, content = self.once(method, name, body)
            except (OSError, http.client.HTTPException) as error:
                status, content = 0, repr(error)
            if self.good(status):
                return content
            if not self.passes(status) or attempt == TRIES - 1:
                raise OSError(f"{method} of {name}: {status} {content[:200]}")
        return None

    def good(self, status):
        return status // 100 == 2

    def passes(self, status):
        """Whether a retry may succeed."""
        return status in (0, 429) or status >= 500

    def once(self, method, name, body):
        connection = http.client.HTTPConnection(self.host, timeout=2)
        try:
            connection.request(method, f"/{self.key}/{name}", body, moto.HEADERS)
            answer = connection.getresponse()
            return answer.status, self.whole(answer)
        finally:
            connection.close()

    def whole(self, answer):
        return answer.read()


class ObjectWriter(StorageWriter):
    """Puts one object per rank, and then the metadata."""

    def __init__(self, place):
        self.store, self.checkpoint_id = Store(place), place

    def reset(self, checkpoint_id=None):
        pass

    def set_up_storage_writer(self, is_coordinator):
        pass

    def prepare_local_plan(self, plan):
        return plan

    def prepare_global_plan(self, plans):
        return [dataclasses.replace(plan, storage_data=f"{rank}.bin") for rank, plan in enumerate(plans)]

    def write_data(self, plan, planner):
        content, results = bytearray(), []
        for item in plan.items:
            data, kind = packed(item, planner.resolve_data(item))
            where = plan.storage_data, len(content), len(data), hashlib.sha256(data).digest(), kind
            content += data
            results.append(WriteResult(item.index, len(data), where))
        self.store.put(plan.storage_data, bytes(content))
        return completed(results)

    def finish(self, metadata, results):
        metadata.storage_data = {item.index: item.storage_data for written in results for item in written}
        content = pickle.dumps(metadata)
        self.store.put("metadata", hashlib.sha256(content).digest() + content)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id):
        return True


class ObjectReader(StorageReader):
    """Reads a committed checkpoint, and compares checksums."""

    def __init__(self, place):
        self.store, self.checkpoint_id = Store(place), place

    def reset(self, checkpoint_id=None):
        pass

    def read_metadata(self):
        content = self.store.get("metadata")
        return pickle.loads(self.checked("metadata", content[32:], content[:32]))

    def set_up_storage_reader(self, metadata, is_coordinator):
        self.where = metadata.storage_data

    def prepare_local_plan(self, plan):
        return plan

    def prepare_global_plan(self, plans):
        return plans

    def read_data(self, plan, planner):
        objects = {}
        for item in plan.items:
            name, offset, length, digest, kind = self.where[item.storage_index]
            if name not in objects:
                objects[name] = self.store.get(name)
            unpacked(planner, item, self.checked(name, objects[name][offset : offset + length], digest), kind)
        return completed(None)

    def checked(self, name, data, digest):
        if hashlib.sha256(data).digest() != digest:
            raise ValueError(f"{name} is not what was written")
        return data

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id):
        return True


def packed(item, data):
    """The bytes of an item and its kind. Tensors are stored as raw bytes, so that no damage breaks a container format."""
    if item.type is WriteItemType.BYTE_IO:
        return bytes(data.getbuffer()), None
    data = data.detach().contiguous()
    return data.flatten().view(torch.uint8).numpy().tobytes(), (data.dtype, tuple(data.shape))


def unpacked(planner, item, data, kind):
    """Hands the bytes of one item to the planner."""
    if item.type is LoadItemType.BYTE_IO:
        planner.load_bytes(item, io.BytesIO(data))
        return
    tensor = torch.frombuffer(bytearray(data), dtype=kind[0]).reshape(kind[1])
    for dimension, (start, length) in enumerate(zip(item.storage_offsets, item.lengths, strict=True)):
        tensor = tensor.narrow(dimension, start, length)
    target = planner.resolve_tensor(item).detach()
    target.copy_(tensor)
    planner.commit_tensor(item, target)


class ObjectEngine(DcpCalls):
    """DCP with ``ObjectWriter`` and ``ObjectReader``."""

    name = "object_storage:OBJECTS"
    about = "one object per rank"
    protocol = DCP
    capabilities = frozenset(
        {Capability.COLLECTIVES, Capability.ANY_COORDINATOR, Capability.COMMIT_MARKER, Capability.OBJECT_STORE, Capability.CHECKSUMS}
    )

    def place(self, root, name):
        return moto.place(root, name)

    def make_writer(self, place):
        return ObjectWriter(place)

    def make_reader(self, place):
        return ObjectReader(place)

    def committed(self, place, apart=0):
        return moto.exists(place, "metadata")

    def flaws(self, place):
        return ()

    def fingerprint(self, place):
        return moto.fingerprint(place)

    def discard(self, place):
        moto.discard(place)


OBJECTS = ObjectEngine()
