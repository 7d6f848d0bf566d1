"""A program that runs four cases on a cluster of Dask. Two end what runs them, and one has real ranks. It prints the records as JSON lines.

Arguments: the address of the cluster, and the file of ``ending_engines.py``.
"""

from __future__ import annotations

import json
import sys

from ckpt_harness.campaigns.pools.on_dask import DaskPool
from ckpt_harness.campaigns.run_cases import run_all
from ckpt_harness.campaigns.workers import quiet
from ckpt_harness.cases.case import Case
from ckpt_harness.faults.plan import FaultPlan


def main(address: str, file: str) -> None:
    quiet()
    cases = [
        Case(FaultPlan.parse("writer.finish@0=raise"), workload="objects", engine=f"{file}:WORKER_KILLER"),
        Case(FaultPlan.parse("writer.prepare_local_plan@1=raise"), workload="objects", engine=f"{file}:KILLER"),
        Case(FaultPlan.parse("writer.write_data@1=raise"), workload="objects"),
        Case(FaultPlan.parse("reader.read_data@1=kill"), "load", workload="objects", world="processes"),
    ]
    for record in run_all(cases, DaskPool(address, [file])):
        print(json.dumps(record.to_json()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
