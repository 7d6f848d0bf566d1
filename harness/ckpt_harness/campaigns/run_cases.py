"""Running many cases, in this process or spread over several."""

from __future__ import annotations

import time
from collections.abc import Generator, Sequence
from concurrent.futures import as_completed
from multiprocessing.util import Finalize

from ckpt_harness.campaigns.workers import workers
from ckpt_harness.cases import printed
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.readings import Readings
from ckpt_harness.cases.record import Record
from ckpt_harness.cases.rig import Rig
from ckpt_harness.findings.register import Register

_CHUNK = 40
"""Cases that a process takes at a time: few enough for a smooth progress bar."""


def run_all(cases: Sequence[Case], jobs: int = 1, register: Register | None = None) -> Generator[Record, None, None]:
    """Runs cases, and yields their records as they come, in any order.

    Args:
        cases: what to run.
        jobs: number of processes; 1 runs the cases in this process.
        register: known findings; by default those that ship with the harness.
    """
    chunks = [cases[start : start + _CHUNK] for start in range(0, len(cases), _CHUNK)]
    if jobs == 1 or len(chunks) == 1:
        with Rig(register=register, readings=Readings()) as rig:
            for case in cases:
                yield run_one(rig, case)
        return
    with workers(jobs, preload="ckpt_harness.cases.rig") as pool:
        for done in as_completed([pool.submit(_run_chunk, chunk, register) for chunk in chunks]):
            yield from done.result()


def _run_chunk(cases: Sequence[Case], register: Register | None) -> list[Record]:
    if not _rigs:
        _rigs.append(Rig(register=register, readings=Readings()))
        Finalize(None, _rigs[0].close, exitpriority=0)
    with printed.shown_on_error():
        return [run_one(_rigs[0], case) for case in cases]


_rigs: list[Rig] = []
"""The rig of this process of a pool, once it has run a case. It is kept from chunk to chunk, with all that its cases share."""


def run_one(rig: Rig, case: Case) -> Record:
    """Runs a case, and keeps a record of it.

    Args:
        rig: runs the case.
        case: what to run.
    """
    started = time.perf_counter()
    result = rig.run(case)
    return Record.of(result, rig.register.covered(case.engine, result.evidence, result.judgements), time.perf_counter() - started)
