"""The table of sites against torch's own classes: a new method of theirs must not silently escape injection."""

from __future__ import annotations

import pytest
from torch.distributed.checkpoint import FileSystemReader, FileSystemWriter, LoadPlanner, SavePlanner, StorageReader, StorageWriter
from torch.distributed.checkpoint.staging import AsyncStager
from torch.distributed.checkpoint.stateful import Stateful

from ckpt_harness.faults.sites import SITES

CLASSES = {
    "writer": StorageWriter,
    "reader": StorageReader,
    "save_planner": SavePlanner,
    "load_planner": LoadPlanner,
    "stager": AsyncStager,
    "state": Stateful,
}

EXCLUDED = {
    "validate_checkpoint_id": "a class method: asked before there is an object that could be wrapped",
    "should_synchronize_after_execute": "a declaration of the stager, read as a constant; nothing is done there",
}

BEYOND = {
    "writer": {
        "checkpoint_id": "a property of the storages that torch ships, read for logging",
        "stage": "of the writers that are an AsyncStager too",
        "synchronize_staging": "of the writers that are an AsyncStager too",
    },
    "reader": {"checkpoint_id": "a property of the storages that torch ships, read for logging"},
}
"""Sites that are not in the class which declares the side."""


def _declared(side: str) -> set[str]:
    return {site.method for site in SITES.values() if site.side == side and not site.is_future} - BEYOND.get(side, {}).keys()


@pytest.mark.parametrize("side", CLASSES)
def test_every_public_method_of_torch_is_a_site(side: str) -> None:
    """A method that a new torch adds shows here, and gets a site or a reason."""
    theirs = {name for name in vars(CLASSES[side]) if not name.startswith("_")} - EXCLUDED.keys()
    assert theirs == _declared(side)


@pytest.mark.parametrize("side", ["writer", "reader", "save_planner"])
def test_every_abstract_method_of_torch_is_a_site(side: str) -> None:
    """Also those that a base class would add."""
    assert CLASSES[side].__abstractmethods__ - EXCLUDED.keys() <= _declared(side)


def test_sites_beyond_the_classes_are_really_there() -> None:
    """What the table has on top is found on the storages that torch ships."""
    assert all(hasattr(FileSystemWriter, name) for name in BEYOND["writer"])
    assert all(hasattr(FileSystemReader, name) for name in BEYOND["reader"])
