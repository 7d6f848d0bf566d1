"""DCP-011: A StopIteration from resolve_data arrives as a RuntimeError.

Claim: every rank raises a CheckpointException that names rank 0 and the original error.
With torch 2.13.0 each rank's line began as in SAW, and there was no commit marker. Exits with 0 if it is so again, with 1 if not.
Plain torch; written by `ckpt-harness export` for: ckpt-harness replay 'save_planner.resolve_data@coordinator=raise(StopIteration)' --op save --ranks 2"""

import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp

RANKS, SAW = 2, ["raised CheckpointException of ranks [0]: {0: RuntimeError('generator raised StopIteration')}"] * 2


class Planner(dcp.DefaultSavePlanner):
    def resolve_data(self, write_item):
        if dist.get_rank() == 0:
            raise StopIteration("injected at save_planner.resolve_data on rank 0")
        return super().resolve_data(write_item)


def on_rank(rank, place, saw):
    dist.init_process_group("gloo", f"file://{place}/store", timedelta(seconds=60), RANKS, rank)
    try:
        dcp.save({f"weight of rank {rank}": torch.ones(4)}, checkpoint_id=f"{place}/checkpoint", planner=Planner())
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
    sys.exit(print("wrong: not all learn the cause") if same and ".metadata" not in stored else "not as recorded")
