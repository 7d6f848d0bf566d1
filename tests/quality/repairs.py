"""Repairs of DCP: without its known findings, the harness must find no violation.

Each repair is as small as a fix in the engine could be, except for the way in which errors cross ranks. Simulated ranks share a process, so that an
error can be handed over as it is, without pickling.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import itertools
import pickle
from collections.abc import Iterator
from typing import Any

from planting import LOAD, LOADER, PLAN, SAVE, SAVER, Edit, planted

_C10D = "torch.distributed.distributed_c10d"

_SET_UP_SAVE = """\
ckpt_id = None

def set_up():
    nonlocal ckpt_id, state_dict, storage_writer
    if callable(state_dict):
        storage_writer, state_dict = state_dict()
    ckpt_id = storage_writer.checkpoint_id

distW.all_gather("setup", set_up)
if ckpt_id is not None:"""

_SAVE_BEGINS = (
    Edit(SAVE, 'if (ckpt_id := getattr(storage_writer, "checkpoint_id", None)) is not None:', _SET_UP_SAVE),
    Edit(
        f"{SAVER}:save",
        "storage_writer = cast(\n    StorageWriter, _storage_setup(storage_writer, checkpoint_id, reader=False)\n)",
        "def begin():\n    return _storage_setup(storage_writer, checkpoint_id, reader=False), _stateful_to_state_dict(state_dict)",
    ),
    Edit(f"{SAVER}:save", "state_dict=_stateful_to_state_dict(state_dict),", "state_dict=begin,"),
    Edit(
        f"{SAVER}:save_state_dict",
        "storage_writer.reset()",
        "def begin():\n    storage_writer.reset()\n    return storage_writer, state_dict",
    ),
    Edit(f"{SAVER}:save_state_dict", "_save_state_dict(\n    state_dict,", "_save_state_dict(\n    begin,"),
)

_SET_UP_LOAD = _SET_UP_SAVE.replace("storage_writer", "storage_reader")
_LOAD_BEGINS = (
    Edit(LOAD, 'if (ckpt_id := getattr(storage_reader, "checkpoint_id", None)) is not None:', _SET_UP_LOAD),
    Edit(
        f"{LOADER}:load",
        "storage_reader = cast(\n    StorageReader, _storage_setup(storage_reader, checkpoint_id, reader=True)\n)",
        "given = storage_reader",
    ),
    Edit(
        f"{LOADER}:load",
        "for key in keys:\n    if key not in state_dict:\n        continue\n    elem = state_dict[key]\n"
        "    stateful_sd[key] = elem.state_dict() if isinstance(elem, Stateful) else elem",
        "def begin():\n    reader = _storage_setup(given, checkpoint_id, reader=True)\n    for key in keys:\n        elem = state_dict[key]\n"
        "        stateful_sd[key] = elem.state_dict() if isinstance(elem, Stateful) else elem\n    return reader, stateful_sd",
    ),
    Edit(f"{LOADER}:load", "state_dict=stateful_sd,", "state_dict=begin,"),
    Edit(
        f"{LOADER}:load_state_dict",
        "storage_reader.reset()",
        "def begin():\n    storage_reader.reset()\n    return storage_reader, state_dict",
    ),
    Edit(f"{LOADER}:load_state_dict", "_load_state_dict(\n    state_dict,", "_load_state_dict(\n    begin,"),
)

_LOAD_ENDS = Edit(
    f"{LOADER}:load",
    "for key in keys:\n    if key not in state_dict:\n        continue\n    elem = state_dict[key]\n    if isinstance(elem, Stateful):\n"
    "        # If the state_dict is a Stateful object,\n        # DCP does an in-place load in the original state dict.\n"
    "        elem.load_state_dict(stateful_sd[key])\n    else:\n        # Otherwise, replace the state_dict with the loaded state_dict.\n"
    "        state_dict[key] = stateful_sd[key]",
    "def take():\n    for key in keys:\n        if isinstance(state_dict[key], Stateful):\n            state_dict[key].load_state_dict(stateful_sd[key])\n"
    '        else:\n            state_dict[key] = stateful_sd[key]\n\n_DistWrapper(process_group, not no_dist, 0).all_gather("take", take)',
)

_METADATA_ERRORS_ARE_REPORTED = Edit(
    LOAD,
    "try:\n    metadata = storage_reader.read_metadata()\nexcept Exception as e:\n    global_metadata_exc = e\n    logger.warning(\n"
    '        "Global metadata is not found. Falling back to rank local metadata.",\n        exc_info=True,\n    )',
    "metadata = storage_reader.read_metadata()",
)

_REDUCED = "all_results = cast(\n    list[R | CheckpointException],\n    reduce_fun(cast(list[T], all_data)),\n)"
_PLANS_ARE_COUNTED = Edit(
    PLAN,
    _REDUCED,
    f"{_REDUCED}\nif not isinstance(all_results, list) or len(all_results) != self.get_world_size():\n"
    '    raise TypeError(f"{self.get_world_size()} plans were expected, not {all_results!r:.99}")',
)

REPAIRS = (*_SAVE_BEGINS, *_LOAD_BEGINS, _LOAD_ENDS, _METADATA_ERRORS_ARE_REPORTED, _PLANS_ARE_COUNTED)


@contextlib.contextmanager
def repaired() -> Iterator[None]:
    """Repairs DCP for the length of the block."""
    with planted(REPAIRS), _errors_cross_ranks():
        yield


@contextlib.contextmanager
def _errors_cross_ranks() -> Iterator[None]:
    """Hands errors over to other ranks without pickling them."""
    collectives: Any = importlib.import_module(_C10D)
    real = collectives._pickler
    collectives._pickler = _Pickler
    try:
        yield
    finally:
        collectives._pickler = real
        _crossing.clear()


_crossing: dict[int, BaseException] = {}
_numbers = itertools.count()


class _Pickler(pickle.Pickler):
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)

    def reducer_override(self, thing: Any) -> Any:
        if not isinstance(thing, BaseException) or type(thing).__name__ == "CheckpointException":
            return NotImplemented  # the errors inside a CheckpointException reach this method too
        number = next(_numbers)
        _crossing[number] = thing
        return _arrived, (number,)


def _arrived(number: int) -> BaseException:
    return _crossing[number]
