"""DCP-025: After an error in synchronize_staging the save goes on unseen, and the other ranks report success.

Claim: every rank raises a CheckpointException that names rank 1 and the original error.
With torch 2.13.0 each rank's line began as in SAW, and there was a commit marker. Exits with 0 if it is so again, with 1 if not.
Plain torch; written by `ckpt-harness export` for: ckpt-harness replay stager.synchronize_staging@1=raise --op async_save --ranks 2 --workload stateful --staging engine"""

import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp

RANKS, SAW = 2, ["returned", "raised RuntimeError: injected at stager.synchronize_staging on rank 1"]


class Stager(dcp.staging.DefaultStager):
    def synchronize_staging(self):
        if dist.get_rank() == 1:
            raise RuntimeError("injected at stager.synchronize_staging on rank 1")
        super().synchronize_staging()


def on_rank(rank, place, saw):
    dist.init_process_group("gloo", f"file://{place}/store", timedelta(seconds=60), RANKS, rank)
    dcp.state_dict_saver.DefaultStager = Stager
    try:
        dcp.async_save({"weight": torch.ones(4)}, checkpoint_id=f"{place}/checkpoint").result()
        saw[rank] = "returned"
    except BaseException as error:  # noqa: BLE001
        saw[rank] = f"raised {type(error).__name__}: {error}"[:300]
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
    sys.exit(print("wrong: ranks disagree; not all learn the cause") if same and ".metadata" in stored else "not as recorded")
