"""A rank of a launcher is lost from outside in the middle of a case, while another waits for it."""

from __future__ import annotations

import os
import signal
import sys

import torch.distributed as dist

from ckpt_harness.worlds.attached import AttachedWorld, together


def lose(rank: int) -> None:
    if dist.get_rank() == rank:
        os.kill(os.getpid(), signal.SIGKILL)
    dist.barrier()


def main() -> int:
    AttachedWorld(2, timeout=3600.0).run(attached_loss.lose, int(sys.argv[1]))
    return 0


if __name__ == "__main__":
    import attached_loss

    sys.exit(together(main))
