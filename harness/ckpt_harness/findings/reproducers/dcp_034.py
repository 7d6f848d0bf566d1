"""DCP-034: With sync_files=True a power cut after a successful save may leave no checkpoint, or an empty .metadata.

The script lists what is synced: .metadata.tmp while it is empty, and never the directory. Plain torch. Exits with 0 if the finding shows, with 1 if not."""

import os
import sys
import tempfile
from pathlib import Path

import torch
import torch.distributed.checkpoint as dcp

if __name__ == "__main__":
    synced, fsync = [], os.fsync

    def record(descriptor):
        synced.append((Path(f"/proc/self/fd/{descriptor}").readlink().name, os.fstat(descriptor).st_size))
        fsync(descriptor)

    with tempfile.TemporaryDirectory() as root:
        os.fsync = record
        dcp.save({"weight": torch.ones(4)}, storage_writer=dcp.FileSystemWriter(f"{root}/checkpoint", sync_files=True))
        os.fsync = fsync
        size = Path(root, "checkpoint", ".metadata").stat().st_size
    for name, length in synced:
        print(f"fsync of {name}, which has {length} bytes")
    print(f"after the save, .metadata has {size} bytes; nothing else was synced")
    if (".metadata.tmp", 0) not in synced or "checkpoint" in dict(synced):
        sys.exit("not as recorded")
    print("wrong: after a power cut .metadata may be empty or missing, although the save reported success")
