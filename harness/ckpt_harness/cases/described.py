"""Reads a checkpoint as somebody does who finds it: all that its metadata names, and nothing else is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from ckpt_harness.cases.binding import GROUP_TIMEOUT
from ckpt_harness.engines.base import Call, Engine
from ckpt_harness.workloads.context import UNFILLED
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.simulated import SimulatedWorld

_PLANNER = "no-flatten"
"""The kind of planner that takes the names of the metadata as they are. An engine without it is not read in this way."""
_EMPTY = 0xA5
"""Each byte of a tensor into which nothing was loaded."""
_LONG = 4
"""Bytes of an element that all have this value by chance in no state of a workload."""


def wrong_by_its_metadata(engine: Engine, place: str, in_words: Callable[[RankResult], str] = lambda result: str(result.record)) -> tuple[str, ...]:
    """Loads everything that the metadata of a committed checkpoint names, on one fresh rank without a process group.

    Args:
        engine: loads it.
        place: where it is.
        in_words: describes how the load ended, if it did not succeed.

    Returns:
        What is wrong: a load that fails, or names of which a part was not loaded. Empty if the engine cannot load by names alone.
    """
    if _PLANNER not in engine.planners:
        return ()

    def load() -> tuple[str, ...]:
        metadata = engine.make_reader(place).read_metadata()
        state = {name: _target(entry) for name, entry in metadata.state_dict_metadata.items()}
        engine.load(state, engine.make_reader(place), engine.make_load_planner(_PLANNER), place, Call(no_dist=True))
        missing = {name: _missing(value) for name, value in state.items()}
        return tuple(f"{name}: {text}" for name, text in missing.items() if text)

    (result,) = SimulatedWorld(1, timeout=GROUP_TIMEOUT, group=False).run(load)
    if result.outcome != "returned":
        return (f"a load of all that its metadata names {in_words(result)}",)
    wrong: tuple[str, ...] = result.value
    return wrong


def _target(entry: Any) -> Any:
    """What is to be filled with an entry: a tensor of its size and dtype, or anything."""
    if not hasattr(entry, "chunks"):
        return UNFILLED
    target = torch.zeros(entry.size, dtype=entry.properties.dtype)
    if target.numel():
        target.reshape(-1).view(torch.uint8).fill_(_EMPTY)
    return target


def _missing(value: Any) -> str:
    """How much of an entry was not loaded, in words; "" if all of it was."""
    if not isinstance(value, torch.Tensor):
        return "it is in the metadata, and was not loaded" if isinstance(value, str) and value == UNFILLED else ""
    if not value.numel() or value.element_size() < _LONG:
        return ""
    elements = value.reshape(-1).view(torch.uint8).reshape(value.numel(), -1)
    missing = int((elements == _EMPTY).all(dim=1).sum())
    return f"{missing} of {value.numel()} elements are in the metadata, and were not loaded" if missing else ""
