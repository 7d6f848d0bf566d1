"""Every case of DCP's own failure tests (``test/distributed/checkpoint/test_checkpoint.py``), on the CPU, with DCP's real storage.

The dictionaries are copied from DCP's tests. DCP's tests check that the failed ranks are named. These tests check every claim: all four ranks get the same
answer, in time, with the original error; no partial checkpoint is committed; and the same ranks can save or load again.
"""

from __future__ import annotations

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.metadata import BytesStorageMetadata, TensorStorageMetadata

from ckpt_harness import Case, FaultPlan
from ckpt_harness._torch import sharded_tensor, sharding_spec

pytestmark = pytest.mark.ckpt_runs_in("simulated", "processes")

SAVES = [
    (0, {}),
    (0, {"fail_set_up_storage_writer": [0]}),
    (0, {"fail_finish": [0]}),
    (0, {"fail_prepare_global_plan": [0]}),
    (0, {"fail_prepare_local_plan": [0]}),
    (0, {"fail_write_data": [2]}),
    (0, {"fail_write_data_async": [3]}),
    (1, {"fail_set_up_storage_writer": [1]}),
    (1, {"fail_finish": [1]}),
]
LOADS = [
    (0, {}),
    (0, {"fail_set_up_storage_reader": [0]}),
    (0, {"fail_prepare_global_plan": [0]}),
    (0, {"fail_read_metadata": [0], "ignore_exception_type": True}),
    (0, {"fail_prepare_local_plan": [1]}),
    (0, {"fail_read_data": [3]}),
    (0, {"fail_read_data_async": [1]}),
    (3, {"fail_set_up_storage_reader": [0]}),
    (1, {"fail_read_metadata": [3], "ignore_exception_type": True}),
    (2, {"fail_read_data": [0]}),
    (3, {"fail_read_data_async": [2]}),
    (1, {"fail_prepare_global_plan": [1]}),
]


def _named(value):
    return ",".join(key for key in value if key != "ignore_exception_type") or "nothing_fails" if isinstance(value, dict) else None


@pytest.mark.parametrize(("coordinator", "failing"), SAVES, ids=_named)
def test_every_rank_learns_of_a_failed_save(ckpt_rig, coordinator, failing):
    """DCP's ``test_dummy_writer_works`` and ``test_save_error_handling``."""
    plan = FaultPlan.from_fail_conf(failing, side="writer")
    ckpt_rig.check(Case(plan, "save", ranks=4, coordinator=coordinator))


@pytest.mark.parametrize("failing", [failing for coordinator, failing in SAVES if coordinator == 0], ids=_named)
def test_every_rank_learns_of_a_failed_async_save(ckpt_rig, failing):
    """The same for the futures that ``async_save`` returns. ``async_save`` has no option for the coordinator, so rank 0 coordinates."""
    ckpt_rig.check(Case(FaultPlan.from_fail_conf(failing, side="writer"), "async_save", ranks=4))


@pytest.mark.parametrize(("coordinator", "failing"), LOADS, ids=_named)
def test_every_rank_learns_of_a_failed_load(ckpt_rig, coordinator, failing):
    """DCP's ``test_dummy_reader_works`` and ``test_load_error_handling``."""
    plan = FaultPlan.from_fail_conf(failing, side="reader")
    ckpt_rig.check(Case(plan, "load", ranks=4, coordinator=coordinator))


def _alone(failing):
    """The same failures on rank 0, the only rank."""
    return {key: [0] if isinstance(value, list) else value for key, value in failing.items()}


@pytest.mark.parametrize("operation", ["save", "async_save"])
@pytest.mark.parametrize("failing", [_alone(failing) for coordinator, failing in SAVES if coordinator == 0], ids=_named)
def test_a_failed_save_without_a_group_raises(ckpt_rig, operation, failing):
    """DCP's ``test_save_error_handling_no_dist``."""
    ckpt_rig.check(Case(FaultPlan.from_fail_conf(failing, side="writer"), operation, ranks=1, way="alone"))


@pytest.mark.parametrize("failing", [_alone(failing) for coordinator, failing in LOADS if coordinator == 0], ids=_named)
def test_a_failed_load_without_a_group_raises(ckpt_rig, failing):
    """DCP's ``test_load_error_handling_no_dist``."""
    ckpt_rig.check(Case(FaultPlan.from_fail_conf(failing, side="reader"), "load", ranks=1, way="alone"))


def _save(make_state, place):
    dcp.save(make_state(), storage_writer=dcp.FileSystemWriter(place, sync_files=False))


def _metadata_of(ckpt_worlds, ranks, place, make_state):
    """The metadata of a state that ``ranks`` ranks save, each rank its own part."""
    assert ckpt_worlds(ranks).run(_save, make_state, place).outcomes == ("returned",) * ranks
    return dcp.FileSystemReader(place).read_metadata().state_dict_metadata


def _three_kinds():
    spec = sharding_spec.ChunkShardingSpec(dim=0, placements=[f"rank:{rank}/cpu" for rank in range(dist.get_world_size())])
    return {"sharded": sharded_tensor.ones(spec, 10, 10), "replicated": torch.ones(4), "bytes": [1, 2, 3, 4]}


@pytest.mark.filterwarnings("ignore:Please use DTensor")
def test_each_kind_of_entry_has_its_default_metadata(ckpt_worlds, tmp_path):
    """DCP's ``test_default_metadata``: bytes, a replicated tensor with one chunk, a sharded tensor with one chunk per rank."""
    metadata = _metadata_of(ckpt_worlds, 2, tmp_path, _three_kinds)

    assert isinstance(metadata["bytes"], BytesStorageMetadata)
    for name, size, chunks in (("replicated", (4,), 1), ("sharded", (10, 10), 2)):
        assert isinstance(metadata[name], TensorStorageMetadata)
        assert tuple(metadata[name].size) == size
        assert metadata[name].properties.dtype == torch.float32
        assert len(metadata[name].chunks) == chunks


def _all_on_rank_1():
    spec = sharding_spec.ChunkShardingSpec(dim=0, placements=["rank:1/cpu"])
    return {"sharded": sharded_tensor.zeros(spec, 4, 4, dtype=torch.float64)}


@pytest.mark.filterwarnings("ignore:Please use DTensor")
def test_a_sharding_without_one_rank_has_one_chunk(ckpt_worlds, tmp_path):
    """DCP's ``test_tensor_metadata_with_missing_rank_spec``: one chunk, and rank 0 holds no part."""
    assert len(_metadata_of(ckpt_worlds, 2, tmp_path, _all_on_rank_1)["sharded"].chunks) == 1
