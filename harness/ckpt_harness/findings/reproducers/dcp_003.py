"""DCP-003: An error in read_metadata arrives as an AssertionError.

Claim: every rank raises a CheckpointException that names rank 1 and the original error.
With torch 2.13.0 each rank's line began as in SAW. Exits with 0 if it is so again, with 1 if not.
Plain torch; written by `ckpt-harness export` for: ckpt-harness replay 'reader.read_metadata@1=raise(OSError:EIO)' --op load --ranks 2"""

import errno
import itertools
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp

RANKS, SAW = 2, ["raised CheckpointException of ranks [1]: {1: AssertionError(\"metadata is None; global metadata read failed:"] * 2
CALLS = itertools.count(1)


class Reader(dcp.FileSystemReader):
    def read_metadata(self, *args, **kwargs):
        if dist.get_rank() == 1 and next(CALLS) == 1:
            raise OSError(errno.EIO, "Input/output error [injected at reader.read_metadata on rank 1]")
        return super().read_metadata(*args, **kwargs)


def on_rank(rank, place, saw):
    dist.init_process_group("gloo", f"file://{place}/store", timedelta(seconds=60), RANKS, rank)
    dcp.save({"weight": torch.ones(4)}, checkpoint_id=f"{place}/checkpoint")
    try:
        dcp.load({"weight": torch.zeros(4)}, checkpoint_id=f"{place}/checkpoint", storage_reader=Reader(f"{place}/checkpoint"))
        saw[rank] = "returned"
    except BaseException as error:  # noqa: BLE001
        named = {one: failed for one, (failed, _) in sorted(getattr(error, "failures", {}).items())}
        saw[rank] = f"raised {type(error).__name__}{f' of ranks {[*named]}' if named else ''}: {named or error}"[:300]
    time.sleep(60)  # stays alive: gloo would tell the others of a closed connection, and hide whether they hang


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place, mp.Manager() as manager:
        saw, end = manager.list([""] * RANKS), time.monotonic() + 30
        ranks = mp.start_processes(on_rank, (place, saw), RANKS, join=False, daemon=True, start_method="fork").processes
        while not (same := all(map(str.startswith, saw, SAW))) and time.monotonic() < end:
            time.sleep(0.1)
        for process in ranks:
            process.kill()
        stored = sorted(path.name for path in Path(place, "checkpoint").glob("*"))
        print(*(f"rank {rank}: {text or 'no answer'}" for rank, text in enumerate(saw)), f"on storage: {stored}", sep="\n")
    sys.exit(print("wrong: not all learn the cause") if same else "not as recorded")
