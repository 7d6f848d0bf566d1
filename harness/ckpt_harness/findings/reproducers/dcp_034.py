"""DCP-034: With sync_files=True a power cut after a successful save may leave no checkpoint, or an empty .metadata.

The script lists what is synced: never the directory, and up to torch 2.13 .metadata.tmp while the file is empty. Plain torch. Exits with 0 if at least
the first shows, with 1 if not."""

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
    if "checkpoint" in dict(synced):
        sys.exit("not as recorded")
    may_be = "empty or missing" if (".metadata.tmp", 0) in synced else "missing (but not empty)"
    print(f"wrong: after a power cut .metadata may be {may_be}, although the save reported success")
