"""DCP-022: Once the process of the process executor has died, no async save succeeds any more.
Claim: ranks whose operation failed can do it again once the cause is gone.
With torch 2.13.0 each rank's line of a second try began as in SAW. Exits with 0 if it is so again, with 1 if not.
Plain torch; written by `ckpt-harness export` for: ckpt-harness replay executor.save@1=kill --op async_save --ranks 2 --world processes --executor process"""

import contextlib
import os
import signal
import sys
import tempfile
import time
from datetime import timedelta
from pathlib import Path

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp

RANKS, SAW = 2, ["raised RuntimeError", ("raised RuntimeError: Checkpoint background process is dead", "raised BrokenPipeError")]
PROCESS = dcp._async_process_executor._AsyncCheckpointProcess
MAIN = PROCESS._checkpointing_subprocess
SAVE = PROCESS._execute_save

def save(*args, **kwargs):
    if dist.get_rank() == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return SAVE(*args, **kwargs)

def start(info, pipe):
    PROCESS._execute_save = save
    MAIN(info, pipe)

def on_rank(rank, place, saw):
    os.setpgrp()  # with the process that it starts
    dist.init_process_group("gloo", f"file://{place}/store", timedelta(seconds=60), RANKS, rank)
    PROCESS._checkpointing_subprocess = staticmethod(start)
    storage = dcp.FileSystemWriter(f"{place}/checkpoint")
    with contextlib.suppress(BaseException):
        dcp.async_save({"weight": torch.ones(4)}, checkpoint_id=f"{place}/checkpoint", storage_writer=storage, async_checkpointer_type=dcp.state_dict_saver.AsyncCheckpointerType.PROCESS).result()
    PROCESS._checkpointing_subprocess = staticmethod(MAIN)
    try:
        dcp.async_save({"weight": torch.ones(4)}, checkpoint_id=f"{place}/checkpoint", storage_writer=storage, async_checkpointer_type=dcp.state_dict_saver.AsyncCheckpointerType.PROCESS).result()
        saw[rank] = "returned"
    except BaseException as error:  # noqa: BLE001
        saw[rank] = f"raised {type(error).__name__}: {error}"[:300]
    time.sleep(60)  # stays alive: gloo would tell the others of a closed connection, and hide whether they hang

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place, mp.Manager() as manager:
        saw, end = manager.list([""] * RANKS), time.monotonic() + 60
        ranks = mp.start_processes(on_rank, (place, saw), RANKS, join=False, start_method="fork").processes
        while not (same := all(map(str.startswith, saw, SAW))) and time.monotonic() < end:
            time.sleep(0.1)
        for process in ranks:
            os.killpg(process.pid, signal.SIGKILL)
        stored = sorted(path.name for path in Path(place, "checkpoint").glob("*"))
        print(*(f"rank {rank}: {text or 'no answer'}" for rank, text in enumerate(saw)), f"on storage: {stored}", sep="\n")
    sys.exit(print("wrong: a second try fails, though the cause of the first failure is gone") if same else "not as recorded")
