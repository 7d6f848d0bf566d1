"""DCP-014: With plan caching, a save that failed while plans were handed out can never be retried.

Claim: ranks whose operation failed can do it again once the cause is gone.
With torch 2.13.0 each rank's line of a second try began as in SAW. Exits with 0 if it is so again, with 1 if not.
Plain torch; written by `ckpt-harness export` for: ckpt-harness replay 'writer.prepare_global_plan@coordinator=raise(OSError:EIO)' --op save --ranks 2 --planner plan-caching"""

import contextlib
import errno
import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp

RANKS, SAW = 2, ["raised CheckpointException of ranks [0, 1]: {0: KeyError("] * 2
HEALED = threading.Event()


class Writer(dcp.FileSystemWriter):
    def prepare_global_plan(self, plans):
        if not HEALED.is_set() and dist.get_rank() == 0:
            raise OSError(errno.EIO, "Input/output error [injected at writer.prepare_global_plan on rank 0]")
        return super().prepare_global_plan(plans)


def on_rank(rank, place, saw):
    dist.init_process_group("gloo", f"file://{place}/store", timedelta(seconds=60), RANKS, rank)
    storage = Writer(f"{place}/checkpoint")
    with contextlib.suppress(BaseException):
        dcp.save({"weight": torch.ones(4)}, checkpoint_id=f"{place}/checkpoint", storage_writer=storage, planner=dcp.DefaultSavePlanner(enable_plan_caching=True))
    HEALED.set()
    try:
        dcp.save({"weight": torch.ones(4)}, checkpoint_id=f"{place}/checkpoint", storage_writer=storage, planner=dcp.DefaultSavePlanner(enable_plan_caching=True))
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
    sys.exit(print("wrong: a second try fails, though the cause of the first failure is gone") if same else "not as recorded")
