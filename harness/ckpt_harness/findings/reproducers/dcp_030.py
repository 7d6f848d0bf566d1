"""DCP-030: a failed write of a tensor is told as an "unexpected pos" of torch's own. Plain torch; exits 0 if it shows.

The kernel refuses to let files grow (RLIMIT_FSIZE, as a quota or a full disk would): EFBIG is what write(2) says, and what nobody is told."""

import resource
import signal
import sys
import tempfile

import torch
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import CheckpointException

if __name__ == "__main__":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    with tempfile.TemporaryDirectory() as place:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 16, resource.RLIM_INFINITY))
        try:
            dcp.save({"weight": torch.zeros(1 << 18)}, checkpoint_id=place)
            told = None
        except CheckpointException as error:
            told = error.failures[0][0]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(f"what the save was told: {told!r}")
    if isinstance(told, OSError) or "unexpected pos" not in str(told):
        sys.exit("not as recorded")
    print("wrong: not all learn the cause")
