"""A program that runs a cluster of Dask with two workers of one thread each. It prints the scheduler's address, and ends with its standard input.

To each line it answers with the number of tasks that the scheduler has.
"""

from __future__ import annotations

import sys

import dask
from distributed import LocalCluster


def main() -> None:
    # A worker that was killed may take long to come back on a busy machine. LocalCluster closes it after 15 s, even if it is at work again by then.
    dask.config.set({"distributed.deploy.lost-worker-timeout": "1 hour"})
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, local_directory=sys.argv[1]) as cluster:
        print(cluster.scheduler_address.replace("tcp://", "dask://"), flush=True)
        for _ in sys.stdin:
            print(len(cluster.scheduler.tasks), flush=True)


if __name__ == "__main__":
    main()
