"""DCP-032: An interrupted save over an existing checkpoint leaves a mixture of both that loads without an error.

Plain torch. Exits with 0 if the finding shows, with 1 if not."""

import os
import sys
import tempfile

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.filesystem import FileSystem


class Dying(FileSystem):
    def create_stream(self, path, mode):
        if str(path).endswith("__0_1.distcp"):
            os._exit(0)  # the job is killed here, when its first file is written
        return super().create_stream(path, mode)


def state(value):
    return {"first": torch.full((4,), value), "second": torch.full((4,), value)}


def save(place, value, fs):
    writer = dcp.FileSystemWriter(place, single_file_per_rank=False)
    writer.fs = fs
    dcp.save(state(value), storage_writer=writer)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        save(place, 1.0, FileSystem())
        if (child := os.fork()) == 0:
            save(place, 2.0, Dying())
        os.waitpid(child, 0)
        print("first save: success; second save: killed between its files")
        loaded = state(0.0)
        dcp.load(loaded, checkpoint_id=place)
    print("load: success,", {name: tensor.tolist() for name, tensor in loaded.items()})
    if loaded["first"][0] == loaded["second"][0]:
        sys.exit("not as recorded")
    print("wrong: the loaded values are of two saves")
