"""A program that runs four cases on a cluster of Dask, of which two end what runs them. It prints the records as JSON lines.

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
    engines = ("filesystem", f"{file}:KILLER", f"{file}:WORKER_KILLER", "filesystem")
    plans = ("writer.storage_meta@1=raise", "writer.prepare_local_plan@1=raise", "writer.finish@0=raise", "writer.write_data@1=raise")
    cases = [Case(FaultPlan.parse(plan), workload="objects", engine=engine) for plan, engine in zip(plans, engines, strict=True)]
    for record in run_all(cases, DaskPool(address, [file])):
        print(json.dumps(record.to_json()), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
