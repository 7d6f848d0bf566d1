"""A program whose pool has a process that is busy and one that waits for work. It prints their ids, and waits."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time

from ckpt_harness.campaigns.workers import workers


def stay(seconds: float) -> int:
    time.sleep(seconds)
    return os.getpid()


def main() -> None:
    with workers(2, preload="ckpt_harness.campaigns.workers") as pool:
        pool.submit(stay, 600)
        pool.submit(stay, 0).result(60)
        print(*(process.pid for process in multiprocessing.active_children()), flush=True)
        sys.stdin.read()


if __name__ == "__main__":
    main()
