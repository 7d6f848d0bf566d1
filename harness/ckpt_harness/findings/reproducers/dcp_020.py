"""DCP-020: Two async saves at once on one process group receive each other's messages.
Claim: both saves succeed on every rank, and each checkpoint holds what was saved there.
With torch 2.13.0 that was not so; where messages of two saves meet, what comes of it may differ from run to run. Exits with 0 if it is not so again, with 1 if it is.
Plain torch; written by `ckpt-harness export` for: ckpt-harness replay 'async_save[1]/writer.set_up_storage_writer@1=delay; async_save[2]/writer.set_up_storage_writer@0=delay' --op async_save --ranks 2 --overlap shared"""

import sys
import tempfile
import time
from concurrent.futures import as_completed
from datetime import timedelta

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp

RANKS = 2

class Writer(dcp.FileSystemWriter):
    def set_up_storage_writer(self, is_coordinator, *args, **kwargs):
        if self.path.name == "checkpoint_1" and dist.get_rank() == 1:
            time.sleep(1)
        if self.path.name == "checkpoint_2" and dist.get_rank() == 0:
            time.sleep(1)
        super().set_up_storage_writer(is_coordinator, *args, **kwargs)

def on_rank(rank, place, saw):
    dist.init_process_group("gloo", f"file://{place}/store", timedelta(seconds=60), RANKS, rank)
    saw[rank, 1] = saw[rank, 2] = "no answer"
    saves = {}
    for number in (1, 2):
        state = {f"save {number} of rank {rank}": torch.tensor([number])}
        saves[dcp.async_save(state, checkpoint_id=f"{place}/checkpoint_{number}", storage_writer=Writer(f"{place}/checkpoint_{number}"))] = number
    for save in as_completed(saves):
        saw[rank, saves[save]] = f"raised {save.exception()!r}"[:300] if save.exception() else "returned"
    time.sleep(60)  # stays alive: gloo would tell the others of a closed connection, and hide whether they hang

def load(number, place):
    state = {f"save {number} of rank {rank}": torch.tensor([0]) for rank in range(RANKS)}
    try:
        dcp.load(state, checkpoint_id=f"{place}/checkpoint_{number}")
    except dcp.api.CheckpointException as error:
        return f"does not load: {error.failures[0][0]!r}"
    return "holds what was saved" if all(value == number for value in state.values()) else f"holds {state}"

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place, mp.Manager() as manager:
        saw, end = manager.dict(), time.monotonic() + 32
        ranks = mp.start_processes(on_rank, (place, saw), RANKS, join=False, daemon=True, start_method="fork").processes
        while (len(saw) < 2 * RANKS or "no answer" in saw.values()) and time.monotonic() < end:
            time.sleep(0.1)
        for process in ranks:
            process.kill()
        reported = {f"rank {rank}, save {number}": text for (rank, number), text in sorted(saw.items())}
        stored = {f"checkpoint {number}": load(number, place) for number in (1, 2)}
        print(*(f"{name}: {text}" for name, text in (reported | stored).items()), sep="\n")
    sound = {*reported.values()} == {"returned"} and {*stored.values()} == {"holds what was saved"}
    sys.exit(print("wrong: two saves under way at once did not both succeed and hold what was saved") if not sound and len(reported) == 2 * RANKS else "not as recorded")
