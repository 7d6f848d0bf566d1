"""What an adopter's class says of its storage, from which the tests of the kit are run."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import pytest

from ckpt_harness.conformance.engine import Storage, StorageEngine, claimed
from ckpt_harness.conformance.kit import Kit, Runner
from ckpt_harness.findings.register import Register


class _EngineOfClass:
    """The attribute ``engine`` of a conformance class: one engine for each class, the same at every access."""

    def __init__(self) -> None:
        self._engines: dict[type[Storage], StorageEngine] = {}

    def __get__(self, instance: object, owner: type[Storage]) -> StorageEngine:
        return self._engines.setdefault(owner, StorageEngine(owner))


class Conformance:
    """Base of the conformance classes: describes a storage.

    Attributes:
        capabilities: what the storage claims, as values of :class:`ckpt_harness.faults.protocol.Capability`. Tests of other capabilities are skipped.
        register: file of the storage's own known findings, relative to the module of the class; "" for none.
        engine: DCP on this storage, under the name that replay lines use.
    """

    capabilities: Collection[str] = frozenset({"collectives", "commit marker"})
    register: str | Path = ""
    engine = _EngineOfClass()

    def make_writer(self, place: str) -> Any:
        """Returns a ``StorageWriter`` for the directory ``place``, which may not exist yet. Called once for each rank and operation."""
        raise NotImplementedError(f"{type(self).__name__} must define make_writer(place), which returns a StorageWriter")

    def make_reader(self, place: str) -> Any:
        """Returns a ``StorageReader`` for the directory ``place``. Called once for each rank and operation."""
        raise NotImplementedError(f"{type(self).__name__} must define make_reader(place), which returns a StorageReader")

    def committed(self, place: str) -> bool:
        """Whether ``place`` holds a complete checkpoint. By default: whether the reader can read its metadata."""
        try:
            self.make_reader(place).read_metadata()
        except Exception:  # noqa: BLE001  (each reader raises what it likes where there is no checkpoint)
            return False
        return True

    @pytest.fixture
    def kit(self, ckpt_rig: Runner, record_property: Callable[[str, object], None]) -> Kit:
        """What the tests use to run cases on the storage."""
        owner = type(self)
        claimed(owner)  # a misspelled capability fails each test, whatever the test needs
        return Kit(owner.engine, owner, _register_of(owner), ckpt_rig, record_property)


def _register_of(owner: type[Conformance]) -> Register | None:
    """The known findings in the file that a class names; None if it names no file. The class that names the file may be a base class."""
    if not owner.register:
        return None
    defining = next(base for base in owner.__mro__ if "register" in vars(base))
    file = sys.modules[defining.__module__].__file__
    assert file is not None, "the module of a class has a file"
    path, here = Path(file).parent / owner.register, Path.cwd()
    return Register.read(path.relative_to(here) if path.is_relative_to(here) else path)
