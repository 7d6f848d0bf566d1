"""DCP-042: A save or load beside an async save on one process group receives its messages.
Claim: both saves succeed on every rank, and each checkpoint holds what was saved there.
With torch 2.13.0 that was not so; where messages of two saves meet, what comes of it may differ from run to run. Exits with 0 if it is not so again, with 1 if it is.
Plain torch; written by hand for: ckpt-harness job 'async a; save b' --ranks 2"""

import sys
import tempfile
import time
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
    states = {number: {f"save {number} of rank {rank}": torch.tensor([number])} for number in (1, 2)}
    in_background = dcp.async_save(states[1], checkpoint_id=f"{place}/checkpoint_1", storage_writer=Writer(f"{place}/checkpoint_1"))
    for number in (2, 1):
        try:
            if number == 2:
                dcp.save(states[2], checkpoint_id=f"{place}/checkpoint_2", storage_writer=Writer(f"{place}/checkpoint_2"))
            else:
                in_background.result()
            saw[rank, number] = "returned"
        except BaseException as error:  # noqa: BLE001  (of whatever type)
            saw[rank, number] = f"raised {error!r}"[:300]
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
