"""DCP-043: A rank that goes on after an error completes the save that the others still make.
Claim: a save that failed on a rank before it began is reported as a success by no rank, and leaves no commit marker.
With torch 2.13.0 that was not so. Exits with 0 if it is not so again, with 1 if it is.
Plain torch; written by hand for: ckpt-harness job 'save a; continue; save b; restart; load latest' --faults 'save[1]/writer.reset@1=raise' --ranks 2"""

import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp

RANKS = 2

class Writer(dcp.FileSystemWriter):
    def reset(self, checkpoint_id=None):
        if self.path.name == "checkpoint_1" and dist.get_rank() == 1:
            raise OSError("the directory cannot be reached")
        super().reset(checkpoint_id)

def on_rank(rank, place, saw):
    dist.init_process_group("gloo", f"file://{place}/store", timedelta(seconds=60), RANKS, rank)
    for number in (1, 2):  # a trainer that logs the error of a save and goes on
        state = {f"of rank {rank}": torch.full((4,), float(number))}
        try:
            dcp.save(state, checkpoint_id=f"{place}/checkpoint_{number}", storage_writer=Writer(f"{place}/checkpoint_{number}"))
            saw[rank, number] = "returned"
        except BaseException as error:  # noqa: BLE001  (of whatever type)
            saw[rank, number] = f"raised {error!r}"[:300]
    time.sleep(60)  # stays alive: gloo would tell the others of a closed connection, and hide whether they hang

def load(number, place):
    state = {f"of rank {rank}": torch.zeros(4) for rank in range(RANKS)}
    try:
        dcp.load(state, checkpoint_id=f"{place}/checkpoint_{number}")
    except dcp.api.CheckpointException as error:
        return f"does not load: {error.failures[0][0]!r}"
    return f"holds {state}"

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place, mp.Manager() as manager:
        saw, end = manager.dict(), time.monotonic() + 20
        ranks = mp.start_processes(on_rank, (place, saw), RANKS, join=False, daemon=True, start_method="fork").processes
        while len(saw) < 2 * RANKS - 1 and time.monotonic() < end:
            time.sleep(0.1)
        time.sleep(2)  # for a rank that is still to report
        for process in ranks:
            process.kill()
        reported = {f"rank {rank}, save {number}": text for (rank, number), text in sorted(saw.items())}
        committed = [number for number in (1, 2) if Path(place, f"checkpoint_{number}", ".metadata").exists()]
        stored = {f"checkpoint {number}": load(number, place) for number in committed}
        print(*(f"{name}: {text}" for name, text in (reported | stored).items()), sep="\n")
    wrong = reported.get("rank 0, save 1") == "returned" and reported["rank 1, save 1"].startswith("raised") and 1 in committed
    sys.exit(print("wrong: a save that one rank never began was committed, and reported as a success") if wrong else "not as recorded")
