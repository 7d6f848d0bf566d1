"""DCP-030: A failed write of a tensor arrives as a RuntimeError of torch's own ("unexpected pos").

The script sets RLIMIT_FSIZE, so that the kernel refuses larger files, as a quota or a full disk would: write(2) fails with EFBIG, and no rank learns of EFBIG.
Plain torch. Exits with 0 if the finding shows, with 1 if not."""

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
            reported = None
        except CheckpointException as error:
            reported = error.failures[0][0]
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    print(f"error of the save: {reported!r}")
    if isinstance(reported, OSError) or "unexpected pos" not in str(reported):
        sys.exit("not as recorded")
    print("wrong: no rank learns the cause")
