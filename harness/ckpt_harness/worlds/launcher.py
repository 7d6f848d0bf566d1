"""The launcher that started this process, if one did: torchrun, torch elastic, SLURM, or anything else that sets torch's four variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ckpt_harness.errors import UsageError

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""What ``torch.distributed`` reads for ``env://``; torchrun sets all four, and an ``srun`` line can."""


@dataclass(frozen=True)
class Launch:
    """What a launcher says of the process that it started.

    Attributes:
        rank: of this process, over all hosts.
        size: number of processes, over all hosts.
        host: where the launcher's store listens.
        port: likewise.
    """

    rank: int
    size: int
    host: str
    port: int

    @classmethod
    def here(cls, environment: Mapping[str, str] | None = None) -> Launch | None:
        """What the environment says; None unless it has all of :data:`VARIABLES`.

        Args:
            environment: by default that of this process.

        Raises:
            UsageError: a variable makes no sense.
        """
        found = os.environ if environment is None else environment
        if not all(found.get(name) for name in VARIABLES):
            return None
        for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"):
            if not found[name].isdecimal():
                raise UsageError(f"{name}={found[name]!r} in the environment is not a number; a launcher sets {', '.join(VARIABLES)}")
        rank, size = int(found["RANK"]), int(found["WORLD_SIZE"])
        if rank >= size:
            raise UsageError(f"RANK={rank} in the environment is outside a world of WORLD_SIZE={size}; valid: 0 to {size - 1}")
        return cls(rank, size, found["MASTER_ADDR"], int(found["MASTER_PORT"]))

    @classmethod
    def needed(cls) -> Launch:
        """As :meth:`here`, where there has to be one.

        Raises:
            UsageError: no launcher started this process.
        """
        launch = cls.here()
        if launch is None:
            raise UsageError(
                f"world 'attached' needs ranks that a launcher started, and the environment lacks some of {', '.join(VARIABLES)}; "
                "valid: torchrun --nproc-per-node 4 -m ckpt_harness ..., or world simulated or processes"
            )
        return launch
