"""DCP-033: a save onto a checkpoint takes the old one away before the new one is there. Plain torch; exits 0 if it shows."""

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
        print("first save: success; it loads")
        if (child := os.fork()) == 0:
            writer = dcp.FileSystemWriter(place)
            writer.fs = Dying()
            dcp.save(state, storage_writer=writer)
        os.waitpid(child, 0)
        print(f"second save: killed as it renames the metadata; there are {sorted(path.name for path in Path(place).iterdir())}")
        try:
            dcp.load(state, checkpoint_id=place)
            sys.exit("not as recorded: a checkpoint loads")
        except BaseException as error:  # noqa: BLE001
            print(f"load: {type(error).__name__}")
    print("wrong: neither checkpoint can be loaded")
