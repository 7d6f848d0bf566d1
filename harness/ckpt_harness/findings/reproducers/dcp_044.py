"""DCP-044: staging_completion never completes if staging ends with an error that is no Exception.
Claim: staging_completion fails on the rank whose staging failed.
With torch 2.13.0 each rank's line began as in SAW, and there was no commit marker. Exits with 0 if it is so again, with 1 if not. Plain torch."""

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

RANKS, SAW = 2, ["hung in gather_object", "raised SystemExit: injected, and after 5 s the staging has not ended"]
class Stager(dcp.staging.DefaultStager):
    def __init__(self):
        super().__init__(dcp.staging.StagingOptions(False, True, True, False))
        self.returned = threading.Event()  # async_save has returned, so that it did not find a staging that was over

    def stage(self, state_dict, **kwargs):
        result = super().stage(state_dict, **kwargs)
        if dist.get_rank() == 1:
            def fail():
                self.returned.wait(30)
                raise SystemExit("injected")
            result = self._staging_executor.submit(fail)
        return result
def tell_where(rank, saw):
    calls = [call.name for frame in sys._current_frames().values() for call in extract_stack(frame)[::-1] if "/checkpoint/" in call.filename]
    saw[rank] = saw[rank] or f"hung in {' < '.join(calls[:3])}"

def on_rank(rank, place, saw):
    dist.init_process_group("gloo", f"file://{place}/store", timedelta(seconds=60), RANKS, rank)
    if rank == 0:
        threading.Timer(3, tell_where, (rank, saw)).start()
    response = dcp.async_save({"weight": torch.ones(4)}, checkpoint_id=f"{place}/checkpoint", async_stager=(stager := Stager()))
    stager.returned.set()
    try:
        response.upload_completion.result()
    except BaseException as error:  # noqa: BLE001
        text = f"raised {type(error).__name__}: {error}"
        try:
            response.staging_completion.result(5)
        except BaseException:  # noqa: BLE001
            text += ", and after 5 s the staging has not ended" * (not response.staging_completion.done())
        saw[rank] = text
    time.sleep(60)  # stays alive: gloo would tell the other rank of a closed connection

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place, mp.Manager() as manager:
        saw, end = manager.list([""] * RANKS), time.monotonic() + 40
        ranks = mp.start_processes(on_rank, (place, saw), RANKS, join=False, daemon=True, start_method="fork").processes
        while not (same := all(map(str.startswith, saw, SAW))) and time.monotonic() < end:
            time.sleep(0.1)
        for process in ranks:
            process.kill()
        stored = sorted(path.name for path in Path(place, "checkpoint").glob("*"))
        print(*(f"rank {rank}: {text or 'no answer'}" for rank, text in enumerate(saw)), f"on storage: {stored}", sep="\n")
    sys.exit(print("wrong: the future for the end of a staging never completes") if same and ".metadata" not in stored else "not as recorded")
