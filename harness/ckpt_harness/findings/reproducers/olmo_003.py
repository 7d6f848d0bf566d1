"""OLMO-003: a save onto a checkpoint that ends half way leaves what loads as a mixture of both. ai2-olmo-core 3.0.0 on torch 2.13.0; exits 0 if it shows."""

import contextlib
import sys
import tempfile

import torch
import torch.distributed.checkpoint as dcp
from olmo_core.distributed.checkpoint.filesystem import RemoteFileSystemReader, RemoteFileSystemWriter


class Planner(dcp.DefaultSavePlanner):
    def resolve_data(self, item):
        if item.index.fqn == "other":
            raise OSError("this one fails")
        return super().resolve_data(item)


def state(value):
    return {"weight": torch.full((4,), value), "other": torch.full((2,), value)}


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        dcp.save(state(1.0), storage_writer=RemoteFileSystemWriter(place, thread_count=2), no_dist=True)
        with contextlib.suppress(dcp.api.CheckpointException):
            dcp.save(state(2.0), storage_writer=RemoteFileSystemWriter(place, thread_count=2), planner=Planner(), no_dist=True)
        loaded = state(0.0)
        dcp.load(loaded, storage_reader=RemoteFileSystemReader(place), no_dist=True)
    print(loaded)
    values = {float(tensor[0]) for tensor in loaded.values()}
    sys.exit(print("wrong: one checkpoint holds values of two saves") if values == {1.0, 2.0} else "not as recorded")
