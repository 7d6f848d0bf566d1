"""DCP-023: staging_completion reports success although staging failed.
Claim: every rank raises a CheckpointException that names rank 1 and the original error.
With torch 2.13.0 each rank's line began as in SAW, and there was no commit marker. Exits with 0 if it is so again, with 1 if not.
Plain torch; written by `ckpt-harness export` for: ckpt-harness replay stager.stage.future@1=failfuture --op async_save --ranks 2 --workload stateful --staging background"""

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

RANKS, SAW = 2, ["hung in gather_object", "staged, then raised RuntimeError: injected at stager.stage.future on rank 1"]

class Stager(dcp.staging.DefaultStager):
    def __init__(self):
        super().__init__(dcp.staging.StagingOptions(False, True, True, False))

    def stage(self, state_dict, **kwargs):
        result = super().stage(state_dict, **kwargs)
        if dist.get_rank() == 1:
            def fail():
                raise RuntimeError("injected at stager.stage.future on rank 1")
            result = self._staging_executor.submit(fail)
            result.exception()  # has failed when async_save looks at it
        return result

def tell_where(rank, saw):
    calls = [call.name for frame in sys._current_frames().values() for call in extract_stack(frame)[::-1] if "/checkpoint/" in call.filename]
    saw[rank] = saw[rank] or f"hung in {' < '.join(calls[:3])}"

def on_rank(rank, place, saw):
    dist.init_process_group("gloo", f"file://{place}/store", timedelta(seconds=60), RANKS, rank)
    threading.Timer(3, tell_where, (rank, saw)).start()
    try:
        response = dcp.async_save({"weight": torch.ones(4)}, checkpoint_id=f"{place}/checkpoint", async_stager=Stager())
        response.upload_completion.result()
        saw[rank] = f"{'not ' * bool(response.staging_completion.exception())}staged, then returned"
    except BaseException as error:  # noqa: BLE001
        saw[rank] = f"{'not ' * bool(response.staging_completion.exception())}staged, then raised {type(error).__name__}: {error}"[:300]
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
    sys.exit(print("wrong: a rank hangs; ranks disagree; not all learn the cause; a future does not say the truth") if same and ".metadata" not in stored else "not as recorded")
