"""The examples with ``torch.multiprocessing.spawn``."""

from __future__ import annotations

import examples
import torch.distributed as dist
import torch.multiprocessing as mp

SIZE = 2


def rank_main(rank: int) -> None:
    dist.init_process_group("gloo", store=dist.FileStore(str(examples.ROOT / "store"), SIZE), rank=rank, world_size=SIZE)
    examples.run()
    dist.destroy_process_group()


if __name__ == "__main__":
    mp.spawn(rank_main, nprocs=SIZE)
