"""DCP-031: A short write is taken for a complete write.

A stream may write fewer bytes than it was given, and returns the number. Raw files, pipes and sockets do so. Plain torch. Exits with 0 if the finding shows, with 1 if not."""

import contextlib
import io
import sys
import tempfile

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.filesystem import FileSystem


class Raw(io.FileIO):
    def write(self, data):
        return super().write(memoryview(data)[: 1 << 16])


class Storage(FileSystem):
    @contextlib.contextmanager
    def create_stream(self, path, mode):
        with Raw(path, mode) as stream:
            yield stream


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        writer = dcp.FileSystemWriter(place)
        writer.fs = Storage()
        dcp.save({"weight": torch.zeros(1 << 18)}, storage_writer=writer)
        print("save: success")
        try:
            dcp.load({"weight": torch.zeros(1 << 18)}, checkpoint_id=place)
            sys.exit("not as recorded: the checkpoint loads")
        except BaseException as error:  # noqa: BLE001
            print(f"load: {type(error).__name__}: {str(error)[:100]!r}")
    print("wrong: the save reports success, and the checkpoint cannot be loaded")
