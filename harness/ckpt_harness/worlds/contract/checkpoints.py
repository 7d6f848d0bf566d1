"""DCP saves and loads, and its failures show."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint.api import CheckpointException

from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.contract.bodies import MakeWorld, leave_one_behind, outcomes, values


def _state(factor: float) -> dict[str, Any]:
    return {"model": {"weight": factor * torch.arange(12.0).reshape(3, 4), "step": int(7 * factor)}}


def _save_and_load(place: str) -> bool:
    dcp.save(_state(1.0), storage_writer=dcp.FileSystemWriter(place, sync_files=False))
    loaded = _state(0.0)
    dcp.load(loaded, storage_reader=dcp.FileSystemReader(place))
    return bool(torch.equal(loaded["model"]["weight"], _state(1.0)["model"]["weight"])) and loaded["model"]["step"] == 7


def check_a_checkpoint_can_be_saved_and_loaded(make_world: MakeWorld, place: Path) -> None:
    """DCP's ``save`` and ``load`` work in the world."""
    assert values(make_world(3).run(_save_and_load, str(place))) == [True] * 3


def check_the_judge_may_run_another_world(make_world: MakeWorld, place: Path) -> None:
    """While hung ranks are kept as they are, other ranks can run."""
    inner: list[Any] = []

    def judge(_: Sequence[RankResult]) -> None:
        inner.extend(values(make_world(2).run(_save_and_load, str(place))))

    results = make_world(3).run(leave_one_behind, judge=judge)
    assert outcomes(results) == ["hung", "returned", "hung"], results
    assert inner == [True, True]


class _FailingWriter(dcp.FileSystemWriter):
    def __init__(self, place: str, error: Exception) -> None:
        super().__init__(place, sync_files=False)
        self._error = error

    def write_data(self, plan: Any, planner: Any) -> Any:
        if dist.get_rank() == 1:
            raise self._error
        return super().write_data(plan, planner)


def _save_with_a_failing_write(place: str) -> list[int]:
    try:
        dcp.save(_state(1.0), storage_writer=_FailingWriter(place, OSError(5, "Input/output error")))
    except CheckpointException as error:
        return sorted(error.failures)
    return []


def check_a_failed_write_reaches_every_rank(make_world: MakeWorld, place: Path) -> None:
    """An error on one rank becomes a ``CheckpointException`` on all ranks that names the failed rank."""
    assert values(make_world(4).run(_save_with_a_failing_write, str(place))) == [[1]] * 4


def _unpicklable() -> Exception:
    error = ValueError("cannot cross ranks")
    error.handle = lambda: None  # type: ignore[attr-defined]
    return error


def _save_with_an_unpicklable_error(place: str) -> None:
    dcp.save(_state(1.0), storage_writer=_FailingWriter(place, _unpicklable()))


def check_an_error_that_cannot_be_pickled_hangs_the_others(make_world: MakeWorld, place: Path) -> None:
    """A known bug of DCP shows as a hang of the other ranks, at the line of DCP where they wait."""
    results = make_world(3).run(_save_with_an_unpicklable_error, str(place))
    assert outcomes(results) == ["hung", "raised", "hung"], results
    assert results[0].wait is not None
    assert results[0].wait.source.startswith("torch/distributed/checkpoint/utils.py:"), results[0].wait
    assert results[0].wait.source.endswith(" in gather_object"), results[0].wait
