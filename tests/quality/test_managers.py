"""The sound manager does what a trainer expects, and the broken ones do so, too, as long as nothing goes wrong."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import broken_managers
import pytest
import torch
import torch.distributed as dist

from ckpt_harness.jobs.managers.plain import PlainManager
from ckpt_harness.worlds.simulated import SimulatedWorld

pytestmark = pytest.mark.usefixtures("silence")

MANAGERS = [each for _, each in inspect.getmembers(broken_managers, inspect.isclass) if issubclass(each, PlainManager)]


def _state(step: int) -> dict[str, Any]:
    return {f"of rank {dist.get_rank()}": torch.full((3,), float(step)), "step": step}


def _run(body: Any) -> list[Any]:
    results = SimulatedWorld(2).run(body)
    assert [result.outcome for result in results] == ["returned", "returned"], [str(result.record) for result in results]
    return [result.value for result in results]


@pytest.mark.parametrize("kind", MANAGERS, ids=[each.__name__ for each in MANAGERS])
def test_without_a_failure_a_manager_resumes_from_what_it_saved_last(kind: type[PlainManager], tmp_path: Path) -> None:
    """Two steps, the second in the background; new ranks load it."""

    def train() -> None:
        manager = kind(tmp_path)
        manager.save(_state(1), 1)
        manager.async_save(_state(2), 2).result()
        manager.wait()

    def resume() -> tuple[int | None, float]:
        manager, state = kind(tmp_path), _state(0)
        step = manager.latest()
        assert step is not None
        manager.load(state, step)
        return step, state[f"of rank {dist.get_rank()}"][0].item()

    _run(train)
    assert _run(resume) == [(2, 2.0)] * 2


def test_the_sound_manager_keeps_what_it_is_asked_to_keep(tmp_path: Path) -> None:
    """The newest that are committed, whatever their names; a directory that a failed save has left goes once it is older."""

    def train() -> tuple[int | None, list[int]]:
        manager = PlainManager(tmp_path)
        for step in (8, 9, 10, 11):
            manager.save(_state(step), step)
        if dist.get_rank() == 0:
            (tmp_path / "step-9" / ".metadata").unlink()
            (tmp_path / "step-12").mkdir()
        manager.prune(2)
        return manager.latest(), manager._steps()

    assert _run(train) == [(11, [10, 11, 12])] * 2
