"""DCP-021: A failure of the process executor's process is reported on its own rank only, and the others wait.
Claim: every rank raises a CheckpointException that names rank 1 and the original error.
With torch 2.13.0 each rank's line began as in SAW, and there was no commit marker. Exits with 0 if it is so again, with 1 if not.
Plain torch; written by `ckpt-harness export` for: ckpt-harness replay executor.start@1=raise --op async_save --ranks 2 --world processes --executor process"""

import os
import signal
import sys
import tempfile
import threading
import time
from datetime import timedelta
from pathlib import Path
from traceback import extract_stack

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
import torch.multiprocessing as mp

RANKS, SAW = 2, ["hung in ", ("raised RuntimeError: Checkpoint background process is dead", "raised BrokenPipeError")]
PROCESS = dcp._async_process_executor._AsyncCheckpointProcess
MAIN = PROCESS._checkpointing_subprocess

def start(info, pipe):
    if info.global_rank == 1:
        os._exit(1)  # whatever the error is, all that is seen of it is that the process ends
    MAIN(info, pipe)

def tell_where(rank, saw):
    calls = [call.name for frame in sys._current_frames().values() for call in extract_stack(frame)[::-1] if "/checkpoint/" in call.filename]
    saw[rank] = saw[rank] or f"hung in {' < '.join(calls[:3])}"

def on_rank(rank, place, saw):
    os.setpgrp()  # with the process that it starts
    dist.init_process_group("gloo", f"file://{place}/store", timedelta(seconds=60), RANKS, rank)
    PROCESS._checkpointing_subprocess = staticmethod(start)
    threading.Timer(30, tell_where, (rank, saw)).start()
    try:
        dcp.async_save({"weight": torch.ones(4)}, checkpoint_id=f"{place}/checkpoint", async_checkpointer_type=dcp.state_dict_saver.AsyncCheckpointerType.PROCESS).result()
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
    sys.exit(print("wrong: a rank hangs; ranks disagree; not all learn the cause") if same and ".metadata" not in stored else "not as recorded")
