"""The examples on one rank of ``torchrun``."""

from __future__ import annotations

import examples
import torch.distributed as dist

if __name__ == "__main__":
    dist.init_process_group("gloo")
    examples.run()
    dist.destroy_process_group()
