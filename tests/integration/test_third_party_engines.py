"""Engines for packages of others: what is said where a package is missing, and an undisturbed case and one that fails where it is not."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed.checkpoint as dcp
from click.testing import CliRunner

from ckpt_harness import FaultyStorageWriter
from ckpt_harness.cases.case import Case, usual_world
from ckpt_harness.cases.rig import Rig
from ckpt_harness.cli import main
from ckpt_harness.engines import names
from ckpt_harness.engines.base import Call
from ckpt_harness.engines.names import THIRD_PARTY, find_engine
from ckpt_harness.engines.third_party.storage_override import handed
from ckpt_harness.errors import UsageError
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.judging.verdict import Verdict

ENGINES = sorted(THIRD_PARTY)

pytestmark = pytest.mark.usefixtures("silence")


@pytest.fixture(scope="module", autouse=True)
def _service(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Where SageMaker's package is, the service that its engine stores on, which is there for the life of a process, and so is no test's leftover."""
    if importlib.util.find_spec(THIRD_PARTY["sagemaker"].module) is not None:
        find_engine("sagemaker").place(tmp_path_factory.mktemp("sagemaker"), "unused")


@pytest.fixture
def rig() -> Iterator[Rig]:
    with Rig() as made:
        yield made


def _needed(name: str) -> None:
    """Skips the test where the engine cannot run."""
    if importlib.util.find_spec(THIRD_PARTY[name].module) is None:
        pytest.skip(f"{THIRD_PARTY[name].package} is not installed")


@pytest.mark.parametrize("name", ENGINES)
def test_a_missing_package_is_named(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By what pip installs, before anything of it is imported."""
    monkeypatch.setattr(names, "is_installed", lambda module: False)
    with pytest.raises(UsageError, match=rf"needs {THIRD_PARTY[name].package.partition('[')[0]}.*is not installed"):
        find_engine(name)
    listed = CliRunner().invoke(main, ["engines"], env={"COLUMNS": "300"})
    assert f"needs {THIRD_PARTY[name].package}" in listed.output.replace("\n", " ")


@pytest.mark.parametrize("name", ENGINES)
def test_an_engine_is_known_without_its_package(name: str) -> None:
    """Its description and claims are available without its package."""
    before = set(sys.modules)
    module, _, attribute = THIRD_PARTY[name].target.partition(":")
    engine = getattr(importlib.import_module(module), attribute)
    assert engine.name == name
    assert THIRD_PARTY[name].module not in set(sys.modules) - before


@pytest.mark.parametrize("operation", ["save", "load"])
@pytest.mark.parametrize("name", ENGINES)
def test_nothing_is_wrong_where_nothing_is_injected(name: str, operation: str, rig: Rig) -> None:
    """Two ranks save, load, and find everything again."""
    _needed(name)
    rig.run(Case(operation="load" if operation == "load" else "save", ranks=2, engine=name, world=usual_world(name))).check()


@pytest.mark.parametrize("name", ENGINES)
def test_an_error_of_the_storage_reaches_every_rank(name: str, rig: Rig) -> None:
    """So the case's storage is what the package saves by."""
    _needed(name)
    result = rig.run(Case(FaultPlan.parse("writer.prepare_local_plan@1=raise(OSError:ENOSPC)"), ranks=2, engine=name, world=usual_world(name)))
    assert result.verdict is Verdict.HOLDS, result.explain()
    assert all(outcome.error is not None and set(outcome.error.failures or ()) == {1} for outcome in result.outcomes.values())


def _train(place: Path) -> None:
    """A trainer that never shows its storage."""
    dcp.save({"weight": torch.ones(2)}, checkpoint_id=place)


def test_a_trainer_that_shows_no_storage_saves_by_the_one_that_is_handed(tmp_path: Path) -> None:
    """In the block, and for one call: what else it saves is its own affair; and so is all of it afterwards."""
    logging.disable(logging.CRITICAL)
    writer = FaultyStorageWriter(dcp.FileSystemWriter(tmp_path), "write_data@0=raise(OSError:EIO)", rank=0)
    with handed(Call(), storage_writer=writer):
        with pytest.raises(dcp.api.CheckpointException):
            _train(tmp_path / "first")
        _train(tmp_path / "second")
    _train(tmp_path / "third")
    assert len(writer.fired) == 1
    assert [(tmp_path / name / ".metadata").exists() for name in ("first", "second", "third")] == [False, True, True]


@pytest.mark.parametrize("name", ["fabric", "accelerate"])
def test_what_a_package_cannot_do_is_refused(name: str) -> None:
    """Those without an async save say so."""
    module, _, attribute = THIRD_PARTY[name].target.partition(":")
    engine = getattr(importlib.import_module(module), attribute)
    with pytest.raises(UsageError, match="has no async_save"):
        engine.async_save({}, None, None, "", Call())


@pytest.mark.parametrize("name", ["fabric", "accelerate"])
def test_what_a_package_cannot_do_is_refused_before_anything_runs(name: str) -> None:
    """Neither saves in the background."""
    _needed(name)
    with pytest.raises(UsageError, match=f"engine '{name}' has no async_save; valid: save, load"):
        Case(operation="async_save", engine=name).bind()
