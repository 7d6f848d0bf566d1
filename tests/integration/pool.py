"""A program whose pool has a process that is busy and one that waits for work. It prints their ids, and waits."""

from __future__ import annotations

import multiprocessing
import sys

from works import Stay

from ckpt_harness.campaigns.pools.base import CHUNK
from ckpt_harness.campaigns.pools.local import LocalPool


def main() -> None:
    results = LocalPool(2).run(Stay(), [600.0] * CHUNK + [0.0] * CHUNK)
    assert [next(results) for _ in range(CHUNK)] == [0.0] * CHUNK
    print(*(process.pid for process in multiprocessing.active_children()), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
