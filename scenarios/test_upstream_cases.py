"""Every case of DCP's own failure tests (``test/distributed/checkpoint/test_checkpoint.py``), on the CPU, against its real storage.

The dictionaries are theirs. Theirs ask that the failed ranks be named; here every claim is asked: all four ranks are told the same, in time, with
the original error, nothing half done is committed, and the same ranks can save or load again.
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
def test_a_save_tells_every_rank(ckpt_rig, coordinator, failing):
    """``test_dummy_writer_works``, ``test_save_error_handling``."""
    plan = FaultPlan.from_fail_conf(failing, side="writer")
    ckpt_rig.check(Case(plan, "save", ranks=4, coordinator=coordinator))


@pytest.mark.parametrize("failing", [failing for coordinator, failing in SAVES if coordinator == 0], ids=_named)
def test_an_async_save_tells_every_rank(ckpt_rig, failing):
    """The same, of the futures that ``async_save`` returns; it has no coordinator to choose."""
    ckpt_rig.check(Case(FaultPlan.from_fail_conf(failing, side="writer"), "async_save", ranks=4))


@pytest.mark.parametrize(("coordinator", "failing"), LOADS, ids=_named)
def test_a_load_tells_every_rank(ckpt_rig, coordinator, failing):
    """``test_dummy_reader_works``, ``test_load_error_handling``."""
    plan = FaultPlan.from_fail_conf(failing, side="reader")
    ckpt_rig.check(Case(plan, "load", ranks=4, coordinator=coordinator))


def _alone(failing):
    """The same failures of the only rank there is."""
    return {key: [0] if isinstance(value, list) else value for key, value in failing.items()}


@pytest.mark.parametrize("operation", ["save", "async_save"])
@pytest.mark.parametrize("failing", [_alone(failing) for coordinator, failing in SAVES if coordinator == 0], ids=_named)
def test_a_save_without_a_group_tells_its_caller(ckpt_rig, operation, failing):
    """``test_save_error_handling_no_dist``."""
    ckpt_rig.check(Case(FaultPlan.from_fail_conf(failing, side="writer"), operation, ranks=1, way="alone"))


@pytest.mark.parametrize("failing", [_alone(failing) for coordinator, failing in LOADS if coordinator == 0], ids=_named)
def test_a_load_without_a_group_tells_its_caller(ckpt_rig, failing):
    """``test_load_error_handling_no_dist``."""
    ckpt_rig.check(Case(FaultPlan.from_fail_conf(failing, side="reader"), "load", ranks=1, way="alone"))


def _save(make_state, place):
    dcp.save(make_state(), storage_writer=dcp.FileSystemWriter(place, sync_files=False))


def _metadata_of(ckpt_worlds, ranks, place, make_state):
    """What is recorded of a state that ``ranks`` ranks save, each its own part."""
    assert ckpt_worlds(ranks).run(_save, make_state, place).outcomes == ("returned",) * ranks
    return dcp.FileSystemReader(place).read_metadata().state_dict_metadata


def _three_kinds():
    spec = sharding_spec.ChunkShardingSpec(dim=0, placements=[f"rank:{rank}/cpu" for rank in range(dist.get_world_size())])
    return {"sharded": sharded_tensor.ones(spec, 10, 10), "replicated": torch.ones(4), "bytes": [1, 2, 3, 4]}


@pytest.mark.filterwarnings("ignore:Please use DTensor")
def test_each_kind_of_entry_has_its_default_metadata(ckpt_worlds, tmp_path):
    """``test_default_metadata``: bytes, a replicated tensor in one chunk, a sharded tensor in a chunk a rank."""
    found = _metadata_of(ckpt_worlds, 2, tmp_path, _three_kinds)

    assert isinstance(found["bytes"], BytesStorageMetadata)
    for name, size, chunks in (("replicated", (4,), 1), ("sharded", (10, 10), 2)):
        assert isinstance(found[name], TensorStorageMetadata)
        assert tuple(found[name].size) == size
        assert found[name].properties.dtype == torch.float32
        assert len(found[name].chunks) == chunks


def _all_on_rank_1():
    spec = sharding_spec.ChunkShardingSpec(dim=0, placements=["rank:1/cpu"])
    return {"sharded": sharded_tensor.zeros(spec, 4, 4, dtype=torch.float64)}


@pytest.mark.filterwarnings("ignore:Please use DTensor")
def test_a_sharding_that_leaves_a_rank_out_is_recorded_as_it_is(ckpt_worlds, tmp_path):
    """``test_tensor_metadata_with_missing_rank_spec``: one chunk, though rank 0 holds none."""
    assert len(_metadata_of(ckpt_worlds, 2, tmp_path, _all_on_rank_1)["sharded"].chunks) == 1
