"""OLMO-003: An interrupted save over an existing checkpoint leaves a mixture of both that loads without an error.

ai2-olmo-core 3.0.0 on torch 2.13.0. Exits with 0 if the finding shows, with 1 if not."""

import contextlib
import sys
import tempfile

import torch
import torch.distributed.checkpoint as dcp
from olmo_core.distributed.checkpoint.filesystem import RemoteFileSystemReader, RemoteFileSystemWriter


class Planner(dcp.DefaultSavePlanner):
    def resolve_data(self, item):
        if item.index.fqn == "other":
            raise OSError("the disk is gone")
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
