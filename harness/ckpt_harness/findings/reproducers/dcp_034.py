"""DCP-034: the metadata is made durable while it is empty, and its name never is. Plain torch; exits 0 if it shows."""

import os
import sys
import tempfile
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp

if __name__ == "__main__":
    synced, fsync = [], os.fsync

    def seen(descriptor):
        synced.append((Path(f"/proc/self/fd/{descriptor}").readlink().name, os.fstat(descriptor).st_size))
        fsync(descriptor)

    with tempfile.TemporaryDirectory() as root:
        os.fsync = seen
        dcp.save({"weight": torch.ones(4)}, storage_writer=dcp.FileSystemWriter(f"{root}/checkpoint", sync_files=True))
        os.fsync = fsync
        size = Path(root, "checkpoint", ".metadata").stat().st_size
    for name, length in synced:
        print(f"fsync of {name}, which has {length} bytes")
    print(f"after the save, .metadata has {size} bytes; nothing else was synced")
    if (".metadata.tmp", 0) not in synced or "checkpoint" in dict(synced):
        sys.exit("not as recorded")
    print("wrong: after a power cut .metadata may be empty, or not there, though the save reported success")
