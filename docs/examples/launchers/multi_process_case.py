"""The examples in torch's own multi-process test class."""

from __future__ import annotations

import unittest

import examples
import torch.distributed as dist
from torch.testing._internal.common_distributed import MultiProcessTestCase


class TestExamples(MultiProcessTestCase):
    @property
    def world_size(self) -> int:
        return 2

    def setUp(self) -> None:
        super().setUp()
        self._spawn_processes()

    def test_examples(self) -> None:
        store = dist.FileStore(str(examples.ROOT / "store"), self.world_size)
        dist.init_process_group("gloo", store=store, rank=self.rank, world_size=self.world_size)
        examples.run()


if __name__ == "__main__":
    unittest.main()
