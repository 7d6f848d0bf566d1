"""DCP-033: A save over an existing checkpoint removes the old checkpoint before the new one is complete.

Plain torch. Exits with 0 if the finding shows, with 1 if not."""

import os
import sys
import tempfile
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.filesystem import FileSystem


class Dying(FileSystem):
    def rename(self, path, new_path):
        os._exit(0)  # the job is killed here


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        state = {"weight": torch.ones(4)}
        dcp.save(state, checkpoint_id=place)
        dcp.load(state, checkpoint_id=place)
        print("first save: success; the checkpoint loads")
        if (child := os.fork()) == 0:
            writer = dcp.FileSystemWriter(place)
            writer.fs = Dying()
            dcp.save(state, storage_writer=writer)
        os.waitpid(child, 0)
        print(f"second save: killed while it renames the metadata; files: {sorted(path.name for path in Path(place).iterdir())}")
        try:
            dcp.load(state, checkpoint_id=place)
            sys.exit("not as recorded: a checkpoint loads")
        except BaseException as error:  # noqa: BLE001
            print(f"load: {type(error).__name__}")
    print("wrong: neither checkpoint can be loaded")
