"""The same fault in torch's test class that reuses its processes. ``spawning.py`` runs this file, which prints RATE and the cases per second."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
import unittest

import torch.distributed as dist
from spawning import RANKS, _fail_once
from torch.testing._internal.common_distributed import MultiProcContinuousTest

CASES = int(os.environ.get("CKPT_BENCH_CASES", "10"))


class Warm(MultiProcContinuousTest):
    """The processes start once for all tests. Beyond its own work, a test costs the hand-over between the processes."""

    world_size = RANKS

    @classmethod
    def backend_str(cls) -> str:
        """Gloo, for the CPU."""
        return "gloo"

    def _case(self) -> None:
        root = [tempfile.mkdtemp(prefix="ckpt-bench-") if self.rank == 0 else None]
        dist.broadcast_object_list(root)
        _fail_once(str(root[0]))
        dist.barrier()
        if self.rank == 0:
            shutil.rmtree(str(root[0]), ignore_errors=True)


for number in range(CASES):
    setattr(Warm, f"test_{number}", lambda self: self._case())


def main() -> None:
    """Measures the rate from the end of the first test, which includes the start of the processes, to the end of the last."""
    suite = unittest.defaultTestLoader.loadTestsFromTestCase(Warm)
    moments: list[float] = []

    class Timed(unittest.TestResult):
        def stopTest(self, test: unittest.TestCase) -> None:  # noqa: N802  (unittest's name)
            moments.append(time.perf_counter())
            super().stopTest(test)

    result = suite.run(Timed())
    if not result.wasSuccessful():
        raise SystemExit(f"failed: {result.failures[:1]}{result.errors[:1]}")
    print("RATE", (len(moments) - 1) / (moments[-1] - moments[0]), flush=True)


if __name__ == "__main__":
    main()
