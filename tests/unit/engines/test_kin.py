"""Engines that derive from a built-in engine: whose known findings count for them, and which of those findings they do not share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch.distributed.checkpoint as dcp
from torch.distributed.checkpoint import StorageWriter

from ckpt_harness import StorageConformance
from ckpt_harness._torch import FsspecReader, FsspecWriter
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.engines.filesystem import FileSystemEngine
from ckpt_harness.engines.kin import KnownAs, known_as
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.judging.verdict import Verdict

EXAMPLE = Path(__file__).parents[3] / "docs" / "examples" / "engine" / "my_storage.py"


class Counting(dcp.FileSystemWriter):
    """Extends one method, and replaces another."""

    def write_data(self, plan: Any, planner: Any) -> Any:
        self.items = len(plan.items)
        return super().write_data(plan, planner)

    def storage_meta(self) -> Any:
        return None


class Named(dcp.FileSystemWriter):
    """Extends a method by a call through the class, and inherits a method from a class between."""

    def finish(self, metadata: Any, results: Any) -> None:
        dcp.FileSystemWriter.finish(self, metadata, results)


class Derived(FileSystemEngine):
    def __init__(self, writer: Any, reader: Any = dcp.FileSystemReader, **writer_options: Any) -> None:
        super().__init__("derived", "an engine of a test", **writer_options)
        self._writer, self._reader = writer, reader

    def make_writer(self, place: str) -> Any:
        return self._writer(place, **self._writer_options)

    def make_reader(self, place: str) -> Any:
        return self._reader(place)


class Alone(FileSystemEngine):
    kin = ""


class Like(FileSystemEngine):
    kin = "huggingface"


class OwnWriter:
    """Derives from nothing."""

    def __init__(self, place: str) -> None:
        self.place = place


class Broken(FileSystemEngine):
    def make_writer(self, place: str) -> Any:
        raise ConnectionError(place)


class ForeignWriter(StorageWriter):
    """Derives from no storage of DCP, and passes every call on to one."""

    def __init__(self, place: str) -> None:
        self._inner = dcp.FileSystemWriter(place, sync_files=False)

    def reset(self, checkpoint_id: Any = None) -> None:
        self._inner.reset(checkpoint_id)

    def set_up_storage_writer(self, is_coordinator: bool, *args: Any, **kwargs: Any) -> None:
        self._inner.set_up_storage_writer(is_coordinator, *args, **kwargs)

    def prepare_local_plan(self, plan: Any) -> Any:
        return self._inner.prepare_local_plan(plan)

    def prepare_global_plan(self, plans: Any) -> Any:
        return self._inner.prepare_global_plan(plans)

    def write_data(self, plan: Any, planner: Any) -> Any:
        return self._inner.write_data(plan, planner)

    def finish(self, metadata: Any, results: Any) -> None:
        self._inner.finish(metadata, results)

    @classmethod
    def validate_checkpoint_id(cls, checkpoint_id: Any) -> bool:
        return True


class OwnPlanner(dcp.DefaultLoadPlanner):
    """Derives from DCP's, and plans otherwise."""

    def create_local_plan(self) -> Any:
        raise NotImplementedError


class CountingPlanner(dcp.DefaultLoadPlanner):
    """Derives from DCP's, and extends it."""

    plans = 0

    def create_local_plan(self) -> Any:
        self.plans += 1
        return super().create_local_plan()


class CountingPlans(FileSystemEngine):
    def make_load_planner(self, kind: str) -> dcp.DefaultLoadPlanner:
        return CountingPlanner()


class Planning(FileSystemEngine):
    def make_load_planner(self, kind: str) -> dcp.DefaultLoadPlanner:
        return OwnPlanner()


class PlanningAlone(Planning):
    def make_writer(self, place: str) -> Any:
        return OwnWriter(place)


class Conforming(StorageConformance):
    capabilities = frozenset({"collectives"})

    def make_writer(self, place: str) -> Any:
        return Counting(place)

    def make_reader(self, place: str) -> Any:
        return dcp.FileSystemReader(place)


ALONE = Alone("alone", "an engine that says that it has no kin", sync_files=False)
LIKE = Like("like", "an engine that names its kin", sync_files=False)
COUNTING = Derived(Counting, sync_files=False)
SYNCED = Derived(Counting)
THREADS = Derived(Named, sync_files=False, thread_count=2)
FSSPEC = Derived(FsspecWriter, FsspecReader)
OWN = Derived(OwnWriter)
FOREIGN = Derived(ForeignWriter)
OWN_ALL = PlanningAlone("own-all", "an engine with a storage and a planner of its own")
PLANNING = Planning("planning", "an engine with a load planner of its own")
COUNTING_PLANS = CountingPlans("counting-plans", "extends the load planner of DCP")
OWN_READER = Derived(Named, OwnWriter)
BROKEN = Broken("broken", "an engine that cannot make a writer")


@pytest.mark.parametrize(
    ("engine", "kin"),
    [
        ("ALONE", None),
        ("LIKE", "huggingface"),
        ("COUNTING", "filesystem"),
        ("SYNCED", "filesystem-synced"),
        ("THREADS", "filesystem-threads"),
        ("FSSPEC", "fsspec-file"),
        ("Conforming", "filesystem-synced"),
    ],
)
def test_the_class_of_the_writer_says_whose_kin_an_engine_is(engine: str, kin: str | None) -> None:
    """Unless the engine says so itself, the class and the options of its writer decide."""
    own, *others = known_as(f"{__file__}:{engine}")
    assert own.name.endswith(f":{engine}")
    assert [other.name for other in others] == ([kin] if kin else [])


@pytest.mark.parametrize(("engine", "planners"), [("OWN", set()), ("BROKEN", set()), ("OWN_ALL", {"load_planner", "load_planner.create_local_plan"})])
def test_a_storage_of_its_own_shares_no_finding_about_storages(engine: str, planners: set[str]) -> None:
    """What is left are DCP's planners, unless the engine has planners of its own."""
    assert known_as(f"{__file__}:{engine}")[1:] == (KnownAs("filesystem", frozenset({"writer.*", "reader.*"} | planners)),)


@pytest.mark.usefixtures("silence")
def test_a_finding_about_dcps_planner_is_known_of_a_storage_of_its_own() -> None:
    """DCP's load planner does not notice what a load leaves out, whatever the storage."""
    with Rig() as rig:
        assert rig.run(Case(operation="load", workload="longer", engine=f"{__file__}:FOREIGN")).known == ("DCP-037",)


@pytest.mark.parametrize("engine", ["filesystem", "huggingface", "torchtitan"])
def test_an_engine_that_ships_has_no_kin(engine: str) -> None:
    """The register names these engines themselves."""
    assert [known.name for known in known_as(engine)] == [engine]


def test_what_a_class_replaces_it_does_not_share_with_its_kin() -> None:
    """A method that calls the inherited method extends it, and shares its findings."""

    def replaced(engine: str) -> frozenset[str]:
        return known_as(f"{__file__}:{engine}")[1].replaced

    assert {"writer.storage_meta"} == {name for name in replaced("COUNTING") if not name.startswith("writer._")}
    assert "writer.finish" not in replaced("THREADS")
    assert "reader.*" not in replaced("THREADS")
    assert "reader.*" in replaced("OWN_READER")
    assert "load_planner" in replaced("PLANNING")
    assert "save_planner" not in replaced("PLANNING")
    assert "load_planner" not in replaced("COUNTING_PLANS")
    assert "load_planner.create_local_plan" in replaced("COUNTING_PLANS")


@pytest.mark.usefixtures("silence")
@pytest.mark.parametrize(
    ("engine", "verdict", "known"),
    [
        (f"{EXAMPLE}:ENGINE", Verdict.HOLDS, ("DCP-030",)),
        (f"{__file__}:COUNTING", Verdict.HOLDS, ("DCP-030",)),
        (f"{__file__}:ALONE", Verdict.VIOLATED, ()),
    ],
)
def test_findings_of_the_kin_are_known(engine: str, verdict: Verdict, known: tuple[str, ...]) -> None:
    """A failed write of a tensor arrives as another error, which is a defect of DCP's writer; without kin it counts."""
    with Rig() as rig:
        result = rig.run(Case(FaultPlan.parse("fs.write(*.distcp)@0#4=diskerror(ENOSPC)"), ranks=1, engine=engine))
    assert (result.verdict, result.known) == (verdict, known), result.explain()
