"""The launcher that started this process, if any: torchrun, torch elastic, SLURM, or any other that sets torch's four environment variables."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from ckpt_harness.errors import UsageError, quoted

VARIABLES = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
"""The environment variables that ``torch.distributed`` reads for ``env://``. torchrun sets all four; a line of ``srun`` can set them."""


@dataclass(frozen=True)
class Launch:
    """A launcher's settings for the process that it started.

    Attributes:
        rank: this process's rank among all hosts.
        size: the number of processes on all hosts.
        host: the host on which the launcher's store listens.
        port: the store's port.

    Example:
        >>> Launch.here({"RANK": "1", "WORLD_SIZE": "4", "MASTER_ADDR": "node0", "MASTER_PORT": "29500"})
        Launch(rank=1, size=4, host='node0', port=29500)
    """

    rank: int
    size: int
    host: str
    port: int

    @classmethod
    def here(cls, environment: Mapping[str, str] | None = None) -> Launch | None:
        """Reads the environment; returns None unless all of :data:`VARIABLES` are set.

        Args:
            environment: the environment variables; by default those of this process.

        Raises:
            UsageError: a variable has an invalid value.
        """
        variables = os.environ if environment is None else environment
        if not all(variables.get(name) for name in VARIABLES):
            return None
        for name in ("RANK", "WORLD_SIZE", "MASTER_PORT"):
            if not variables[name].isdecimal():
                raise UsageError(f"environment variable {name}={quoted(variables[name])} is not a number; a launcher sets {', '.join(VARIABLES)}")
        rank, size = int(variables["RANK"]), int(variables["WORLD_SIZE"])
        if rank >= size:
            raise UsageError(f"environment variable RANK={rank} is out of range for WORLD_SIZE={size}; valid: 0 to {size - 1}")
        return cls(rank, size, variables["MASTER_ADDR"], int(variables["MASTER_PORT"]))

    @classmethod
    def needed(cls) -> Launch:
        """Returns the same as :meth:`here`, for callers that need a launcher.

        Raises:
            UsageError: no launcher started this process.
        """
        launch = cls.here()
        if launch is None:
            raise UsageError(
                "world 'attached' needs ranks that a launcher started; "
                "valid: torchrun --nproc-per-node 4 -m ckpt_harness ..., or world 'simulated' or 'processes'"
            )
        return launch
