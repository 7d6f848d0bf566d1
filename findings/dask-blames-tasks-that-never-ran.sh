#!/usr/bin/env bash
# distributed 2026.8.0 (Dask): if a worker dies, every task that was assigned to it is blamed, even a task that never began.
#
# The scheduler counts for each task how many workers died "while running it", and gives a task up with KilledWorker when there are more than
# distributed.scheduler.allowed-failures. It counts all tasks that are assigned to a worker, and a worker is assigned more tasks than it has threads.
# So KilledWorker does not say which task kills workers. `sweep --on` therefore runs each case of such a task once more, while nothing else runs,
# before it names a case.
#
# Source: Scheduler.remove_worker in distributed/scheduler.py (`for ts in list(ws.processing)`).
# Exits with 0 if this is still so, and with 1 if it changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q distributed==2026.8.0 dask==2026.8.0

cat > "$folder/blame.py" <<'PYTHON'
import os
import pathlib
import sys
import time

import dask
import distributed


def end_the_worker():
    distributed.Event("both tasks are assigned").wait(60)
    os._exit(1)


def main():
    began = pathlib.Path(sys.argv[1], "began")
    with dask.config.set({"distributed.scheduler.allowed-failures": 0}):
        cluster = distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None, silence_logs=50, local_directory=sys.argv[1])
    with cluster, distributed.Client(cluster) as client:
        killer = client.submit(end_the_worker)
        innocent = client.submit(began.touch)
        while sum(map(len, client.processing().values())) < 2:
            time.sleep(0.1)
        distributed.Event("both tasks are assigned").set()
        for name, future in (("killer", killer), ("innocent", innocent)):
            print(f"{name}: {type(future.exception(timeout=60)).__name__}")
        print("innocent began:", began.exists())


if __name__ == "__main__":
    main()
PYTHON

seen=$("$folder/venv/bin/python" "$folder/blame.py" "$folder" 2> "$folder/errors") || { cat "$folder/errors" >&2; exit 1; }
printf '%s\n' "$seen"
[ "$seen" = "killer: KilledWorker
innocent: KilledWorker
innocent began: False" ]
