"""OLMO-002: A failed load leaves its reader threads behind for ever.

ai2-olmo-core 3.0.0 on torch 2.13.0. Exits with 0 if the finding shows, with 1 if not."""

import contextlib
import gc
import sys
import tempfile
import threading

import torch
import torch.distributed.checkpoint as dcp
from olmo_core.distributed.checkpoint.filesystem import RemoteFileSystemReader, RemoteFileSystemWriter


class Planner(dcp.DefaultLoadPlanner):
    def resolve_tensor(self, item):
        raise OSError("out of memory")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        state = {f"weight {number}": torch.ones(4) for number in range(40)}
        dcp.save(state, storage_writer=RemoteFileSystemWriter(place), no_dist=True)
        before = threading.active_count()
        for _ in range(5):
            with contextlib.suppress(dcp.api.CheckpointException):
                dcp.load(state, storage_reader=RemoteFileSystemReader(place, thread_count=2), planner=Planner(), no_dist=True)
            gc.collect()
        left = threading.active_count() - before
        print(f"after 5 failed loads there are {left} more threads than before")
    sys.exit(print("wrong: each failed load leaves three threads behind") if left == 15 else "not as recorded")
