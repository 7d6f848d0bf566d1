"""OLMO-001: Any error from resolve_data arrives as an OLMoCheckpointError that quotes a traceback.

ai2-olmo-core 3.0.0 on torch 2.13.0. Exits with 0 if the finding shows, with 1 if not."""

import errno
import sys
import tempfile

import torch
import torch.distributed.checkpoint as dcp
from olmo_core.distributed.checkpoint.filesystem import RemoteFileSystemWriter


class Planner(dcp.DefaultSavePlanner):
    def resolve_data(self, item):
        raise OSError(errno.EIO, "the device is gone")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        try:
            dcp.save({"weight": torch.ones(4)}, storage_writer=RemoteFileSystemWriter(place), planner=Planner(), no_dist=True)
        except dcp.api.CheckpointException as error:
            reported = error.failures[0][0]
            print(f"{type(reported).__name__}, errno {getattr(reported, 'errno', None)}: {str(reported)[:200]!r}")
    sys.exit(print("wrong: only the text of the cause is left") if type(reported).__name__ == "OLMoCheckpointError" else "not as recorded")
