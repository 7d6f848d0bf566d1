"""The same seed gives the same history, byte for byte; and a wait for something outside the world is not a deadlock."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch.distributed.checkpoint as dcp
from torch.futures import Future

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.findings.register import Register
from ckpt_harness.worlds.simulated import SimulatedWorld

pytestmark = pytest.mark.usefixtures("silence")

SCRIPT = """
import sys
from ckpt_harness.campaigns.workers import quiet
from ckpt_harness.cases.case import Case
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.cases.rig import Rig

quiet()
with Rig() as rig:
    for operation, text, seed in eval(sys.argv[1]):
        result = rig.run(Case(FaultPlan.parse(text), operation, 3, seed=seed))
        print(result.explain())
        print(result.history.to_jsonl())
"""
RUNS = [
    ("save", "", 0),
    ("save", "writer.write_data@1=raise(OSError:EIO); save_planner.finish_plan@2=delay(3)", 1),
    ("save", "writer.write_data@2=kill", 2),
    ("save", "writer.reset@1=raise", 3),
    ("async_save", "writer.write_data@all=raise(unpicklable)", 4),
    ("load", "reader.read_data.future@0=failfuture", 5),
    ("load", "reader.read_metadata@1=raise", 6),
]


def _printed(hash_seed: str) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": str(Path(__file__).parents[2])}
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, repr(RUNS)], capture_output=True, text=True, timeout=250, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_same_seeds_give_the_same_histories_in_any_process() -> None:
    """Two processes with different hash seeds and directories print the same histories, outcomes, verdicts and places of hangs, byte for byte."""
    first = _printed("1")
    assert len(first) > 10_000
    assert _printed("2") == first


def _history(case: Case) -> str:
    with Rig(register=Register()) as rig:
        return rig.run(case).history.to_jsonl()


def test_another_seed_gives_another_order() -> None:
    """Each rank has the same events; only the order between ranks differs."""
    case = Case(FaultPlan.parse("writer.write_data@1=raise"), ranks=3, workload="objects")
    orders = {_history(Case(case.plan, ranks=3, workload="objects", seed=seed)) for seed in range(4)}
    assert len(orders) == 4
    assert len({tuple(sorted(order.splitlines())) for order in orders}) == 1
    assert _history(case) in orders


class _Uploading(dcp.FileSystemWriter):
    """Writes at once; a thread outside the world completes the future later."""

    def __init__(self, place: str, uploads: list[Future[Any]]) -> None:
        super().__init__(place, sync_files=False)
        self._uploads = uploads

    def write_data(self, plan: Any, planner: Any) -> Any:
        written = super().write_data(plan, planner)
        upload: Future[Any] = Future()
        upload.results = written.value()
        self._uploads.append(upload)
        return upload


@pytest.mark.parametrize("ranks", [1, 3])
def test_a_future_completed_late_by_a_native_thread_is_no_deadlock(ranks: int, tmp_path: Path) -> None:
    """For two real seconds nothing else can run: all ranks wait, and all return with the checkpoint committed."""
    uploads: list[Future[Any]] = []
    stop = threading.Event()

    def acknowledge() -> None:
        """Completes the futures. The thread began before the world, so that it lives outside the world."""
        done = 0
        while done < ranks and not stop.wait(2.0 if done == 0 else 0.01):
            for upload in uploads[done:]:
                upload.set_result(upload.results)
                done += 1

    def save() -> None:
        dcp.save({"epoch": 1}, storage_writer=_Uploading(str(tmp_path), uploads))

    client = threading.Thread(target=acknowledge, name="native client")
    client.start()
    started = time.monotonic()
    try:
        results = SimulatedWorld(ranks).run(save)
    finally:
        stop.set()
        client.join(timeout=30)
    assert [result.outcome for result in results] == ["returned"] * ranks, results
    assert time.monotonic() - started > 1.5
    assert (tmp_path / ".metadata").exists()


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")  # DCP-010: errors of writer threads are lost
@pytest.mark.parametrize("plan", ["fs.write@1#9=diskerror", "fs.write(*_1.distcp)@1#2=delay(2)", "fs.write@all=nospace(900)"])
def test_faults_of_system_calls_on_writer_threads_are_deterministic(plan: str) -> None:
    """With four threads per rank, the same seed gives the same history in two rigs; another seed gives another."""
    histories = []
    for seed in (1, 1, 2):
        with Rig() as rig:
            result = rig.run(Case(FaultPlan.parse(plan), ranks=2, seed=seed, engine="filesystem-threads"))
            assert result.evidence.fired
            histories.append(result.history.to_jsonl())
    assert histories[0] == histories[1] != histories[2]
