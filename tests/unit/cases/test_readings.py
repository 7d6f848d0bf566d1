"""Equal content is read once in a campaign, and only where a reader depends on nothing else."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch.distributed.checkpoint as dcp

from ckpt_harness import Case, FaultPlan, Rig
from ckpt_harness.campaigns.run_cases import run_all
from ckpt_harness.cases.readings import Readings
from ckpt_harness.engines.filesystem import FILESYSTEM, FileSystemEngine
from ckpt_harness.judging.verdict import Verdict
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.simulated import SimulatedWorld

pytestmark = pytest.mark.usefixtures("silence")

SAVED = Case(ranks=2)


class _ForgetfulReader(dcp.FileSystemReader):
    """Reads well three times, and then leaves out what it was asked for."""

    reads = 0

    def read_data(self, plan: Any, planner: Any) -> Any:
        _ForgetfulReader.reads += 1
        return super().read_data(plan if _ForgetfulReader.reads <= 3 else replace(plan, items=[]), planner)


class _ForgetfulEngine(FileSystemEngine):
    """An engine whose readers depend on what was read before: no content shows that."""

    def make_reader(self, place: str) -> dcp.FileSystemReader:
        return _ForgetfulReader(place)


FORGETFUL = _ForgetfulEngine("forgetful", "an engine with a memory", sync_files=False)


class _BoastfulEngine(_ForgetfulEngine):
    """The same engine, which says that its readers depend on nothing but the content: a lie that a campaign believes."""

    def stored(self, place: str) -> Mapping[str, bytes] | None:
        return FILESYSTEM.stored(place)


BOASTFUL = _BoastfulEngine("boastful", "an engine with a memory that it denies", sync_files=False)


@pytest.fixture
def worlds(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all simulated worlds that run."""
    sizes: list[int] = []
    run = SimulatedWorld.run

    @functools.wraps(run)
    def counted(world: SimulatedWorld, *args: Any, **more: Any) -> Sequence[RankResult]:
        sizes.append(world.size)
        return run(world, *args, **more)

    monkeypatch.setattr(SimulatedWorld, "run", counted)
    return sizes


def test_equal_content_is_read_once(worlds: list[int]) -> None:
    """The second save stores the same, but for DCP's UUIDs: only its own world runs. Its evidence is that of a case that reads."""
    with Rig(readings=Readings()) as rig:
        first = rig.run(SAVED)
        worlds.clear()
        second = rig.run(SAVED)
    assert worlds == [2]
    assert first.evidence.storage == second.evidence.storage
    assert second.evidence.storage["save[1]"][0].saves == {"2 rank(s)": (2,), "1 rank(s)": (2,)}


def test_other_content_is_read_anew(worlds: list[int]) -> None:
    """A case whose storage lied has stored something else: it shows what it shows alone, whatever was read before."""
    lied = Case(FaultPlan.parse("fs.write(*.distcp)@1=bitflip(40)"), ranks=2)
    with Rig(readings=Readings()) as rig, Rig() as alone:
        rig.run(replace(SAVED, watch_disk=True))
        worlds.clear()
        damaged = rig.run(lied)
        assert len(worlds) > 1
        assert damaged.judgements == alone.run(lied).judgements


def test_a_reader_asks_for_itself_by_default(worlds: list[int]) -> None:
    """A rig of a test or of ``replay`` reads each time: its engine may change from case to case, as a test may patch it."""
    with Rig() as rig:
        rig.run(SAVED)
        worlds.clear()
        rig.run(SAVED)
    assert worlds == [2, 2, 1]


def test_an_engine_with_a_memory_is_judged_by_each_reading() -> None:
    """A class that is derived from a built-in engine inherits no claim about its readers: the fourth reading of the same content is found wrong."""
    _ForgetfulReader.reads = 0
    name = f"{__name__}:FORGETFUL"
    verdicts = [record.verdict for record in run_all([Case(engine=name, ranks=1)] * 3)]
    assert verdicts == [Verdict.HOLDS, Verdict.VIOLATED, Verdict.VIOLATED]


def test_a_careless_cache_would_pass_the_engine_with_a_memory() -> None:
    """Where such an engine claims what it does not keep, its later readings are never made, and the bug is missed."""
    _ForgetfulReader.reads = 0
    name = f"{__name__}:BOASTFUL"
    verdicts = [record.verdict for record in run_all([Case(engine=name, ranks=1)] * 3)]
    assert verdicts == [Verdict.HOLDS] * 3


@pytest.mark.parametrize("other", [{"workload": "nested"}, {"ranks": 3}, {"planner": "partial-load"}, {"way": "no_dist"}, {"engine": "filesystem-items"}])
def test_whatever_a_reading_depends_on_is_part_of_its_name(other: dict[str, Any]) -> None:
    """Cases of several kinds in one campaign show what each shows alone."""
    mixed = [SAVED, replace(SAVED, **other), SAVED]
    with Rig(readings=Readings()) as together:
        shown = [together.run(case).evidence.storage for case in mixed]
    for case, seen in zip(mixed, shown, strict=True):
        with Rig() as alone:
            assert alone.run(case).evidence.storage == seen


def test_a_reading_is_of_its_place(tmp_path: Path) -> None:
    """Content that is moved may be read otherwise, for example if it holds paths."""
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"content")
    readings, read = Readings(), list[str]()
    for name in ("a", "b", "a"):
        readings.of(FILESYSTEM, str(tmp_path / name), (), functools.partial(read.append, name))
    assert read == ["a", "b"]
