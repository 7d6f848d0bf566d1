"""DCP's own failure tests (``TestDistributedFailure`` in torch's ``test/distributed/checkpoint/test_checkpoint.py``), case by case, with the harness.

The differences from DCP's tests: the harness's wrappers take the place of the faulty storage, around a storage that does nothing; a plan is made from the
same dictionary of failures; and the device is the CPU.
"""

from __future__ import annotations

import multiprocessing
import os
import unittest
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.distributed._shard import sharded_tensor
from torch.distributed._shard.sharding_spec import ChunkShardingSpec
from torch.distributed.checkpoint import CheckpointException, StorageReader, StorageWriter, load_state_dict, save_state_dict
from torch.distributed.checkpoint.default_planner import _create_default_local_metadata
from torch.futures import Future
from torch.testing._internal.common_distributed import MultiProcessTestCase

from ckpt_harness import FaultPlan, FaultyStorageReader, FaultyStorageWriter

ROOT = os.environ.get("EXAMPLES_ROOT", ".")


def done(value: Any) -> Future[Any]:
    future: Future[Any] = Future()
    future.set_result(value)
    return future


class IdleWriter(StorageWriter):
    def reset(self, checkpoint_id: Any = None) -> None: ...
    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None: ...
    def prepare_local_plan(self, plan: Any) -> Any:
        return plan

    def prepare_global_plan(self, plans: Any) -> Any:
        return plans

    def write_data(self, plan: Any, planner: Any) -> Future[Any]:
        return done([])

    def finish(self, metadata: Any, results: Any) -> None: ...
    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        return True


class IdleReader(StorageReader):
    def __init__(self, metadata: Any) -> None:
        self.metadata = metadata

    def reset(self, checkpoint_id: Any = None) -> None: ...
    def read_metadata(self) -> Any:
        return self.metadata

    def set_up_storage_reader(self, metadata: Any, is_coordinator: bool) -> None: ...
    def prepare_local_plan(self, plan: Any) -> Any:
        return plan

    def prepare_global_plan(self, plans: Any) -> Any:
        return plans

    def read_data(self, plan: Any, planner: Any) -> Future[Any]:
        return done(None)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        return True


class Checks:
    """Base of both test classes: runs an operation with a dictionary of failures, and compares the ranks that the exception names."""

    def save_with(self: Any, state_dict: dict[str, Any], coordinator: int = 0, **fail: Any) -> None:
        writer = FaultyStorageWriter(IdleWriter(), FaultPlan.from_fail_conf(fail, side="writer"))
        alone = not dist.is_initialized()
        self.check(lambda: save_state_dict(state_dict, storage_writer=writer, coordinator_rank=coordinator, no_dist=alone), fail)

    def load_with(self: Any, state_dict: dict[str, Any], coordinator: int = 0, **fail: Any) -> None:
        inner = IdleReader(_create_default_local_metadata(state_dict))
        reader = FaultyStorageReader(inner, FaultPlan.from_fail_conf(fail, side="reader"))
        alone = not dist.is_initialized()
        self.check(lambda: load_state_dict(state_dict, storage_reader=reader, coordinator_rank=coordinator, no_dist=alone), fail)

    def check(self: Any, operation: Callable[[], Any], fail: dict[str, Any]) -> None:
        ranks = next(iter(fail.values()), [])
        if not ranks:
            operation()
            return
        with pytest.raises(CheckpointException) as caught:
            operation()
        assert sorted(ranks) == sorted(caught.value.failures)
        if not fail.get("ignore_exception_type", False):
            assert {ValueError} == {type(error) for error, _ in caught.value.failures.values()}


class TestWithFourRanks(Checks, MultiProcessTestCase):
    @property
    def world_size(self) -> int:
        return 4

    def setUp(self) -> None:
        super().setUp()
        # Forked, where torch's own tests spawn: four more imports of torch would take most of the time.
        self._start_processes(multiprocessing.get_context("fork").Process)

    def state_dict(self) -> dict[str, Any]:
        store = dist.FileStore(os.path.join(ROOT, self._testMethodName), self.world_size)  # noqa: PTH118  (torch wants text)
        dist.init_process_group("gloo", store=store, rank=self.rank, world_size=self.world_size)
        spec = ChunkShardingSpec(dim=0, placements=[f"rank:{rank}/cpu" for rank in range(self.world_size)])  # type: ignore[arg-type]  # parsed
        return {"sharded": sharded_tensor.rand(spec, 20, 20), "replicated": torch.rand(10, 10), "bytes": [1, 2, 3, 4]}

    def test_save_error_handling(self) -> None:
        state_dict = self.state_dict()
        self.save_with(state_dict)
        self.save_with(state_dict, fail_set_up_storage_writer=[0])
        self.save_with(state_dict, fail_finish=[0])
        self.save_with(state_dict, fail_prepare_global_plan=[0])
        self.save_with(state_dict, fail_prepare_local_plan=[0])
        self.save_with(state_dict, fail_write_data=[2])
        self.save_with(state_dict, fail_write_data_async=[3])
        self.save_with(state_dict, coordinator=1, fail_set_up_storage_writer=[1])
        self.save_with(state_dict, coordinator=1, fail_finish=[1])

    def test_load_error_handling(self) -> None:
        state_dict = self.state_dict()
        self.load_with(state_dict)
        self.load_with(state_dict, fail_set_up_storage_reader=[0])
        self.load_with(state_dict, fail_prepare_global_plan=[0])
        self.load_with(state_dict, fail_read_metadata=[0], ignore_exception_type=True)
        self.load_with(state_dict, fail_prepare_local_plan=[1])
        self.load_with(state_dict, fail_read_data=[3])
        self.load_with(state_dict, fail_read_data_async=[1])
        self.load_with(state_dict, coordinator=3, fail_set_up_storage_reader=[0])
        self.load_with(state_dict, coordinator=1, fail_read_metadata=[3], ignore_exception_type=True)
        self.load_with(state_dict, coordinator=2, fail_read_data=[0])
        self.load_with(state_dict, coordinator=3, fail_read_data_async=[2])
        self.load_with(state_dict, coordinator=1, fail_prepare_global_plan=[1])


class TestWithoutAGroup(Checks, unittest.TestCase):
    def test_save_error_handling_no_dist(self) -> None:
        state_dict = {"replicated": torch.rand(10, 10), "bytes": [1, 2, 3, 4]}
        self.save_with(state_dict)
        for name in ("set_up_storage_writer", "finish", "prepare_global_plan", "prepare_local_plan", "write_data", "write_data_async"):
            self.save_with(state_dict, **{f"fail_{name}": [0]})

    def test_load_error_handling_no_dist(self) -> None:
        state_dict = {"replicated": torch.rand(10, 10), "bytes": [1, 2, 3, 4]}
        self.load_with(state_dict)
        self.load_with(state_dict, fail_read_metadata=[0], ignore_exception_type=True)
        for name in ("set_up_storage_reader", "prepare_local_plan", "prepare_global_plan", "read_data", "read_data_async"):
            self.load_with(state_dict, **{f"fail_{name}": [0]})


if __name__ == "__main__":
    warnings.simplefilter("ignore", FutureWarning)
    unittest.main()
