"""The rig: what it puts a case through, what it hands to the oracles, and what it leaves behind."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.errors import PlanError, UsageError
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.sites import OPERATION_KINDS
from ckpt_harness.findings.register import Register
from ckpt_harness.judging.expectation import Ending
from ckpt_harness.judging.verdict import Verdict

pytestmark = pytest.mark.usefixtures("silence")


@pytest.fixture
def rig() -> Iterator[Rig]:
    with Rig() as made:
        yield made


def _case(plan: str = "", operation: str = "save", **more: object) -> Case:
    return replace(Case(FaultPlan.parse(plan)), operation=operation, **more)  # type: ignore[arg-type]  # fields of Case


@pytest.mark.parametrize("operation", OPERATION_KINDS)
@pytest.mark.parametrize("engine", ["filesystem", "fsspec-memory"])
def test_nothing_wrong_holds(rig: Rig, operation: str, engine: str) -> None:
    """Every operation on every engine, with all that was saved read back or filled."""
    result = rig.run(_case(operation=operation, engine=engine, workload="mixed"))
    assert result.complaints() == []
    assert {outcome.kind for outcome in result.outcomes.values()} == {"returned"}
    assert result.evidence.retry is None
    if operation != "load":
        storage = result.evidence.storage[f"{operation}[1]"][0]
        assert (storage.committed, storage.finish_acted, storage.damaged) == (True, True, {})
        assert storage.mismatches == {"2 rank(s)": (), "1 rank(s)": ()}


@pytest.mark.parametrize("operation", OPERATION_KINDS)
@pytest.mark.parametrize(
    ("way", "ranks", "part"),
    [("alone", 1, {0}), ("no_dist", 2, {0, 1}), ("no_collectives", 3, {0, 1, 2}), ("subgroup", 3, {1, 2}), ("groups", 5, {0, 1, 2, 3, 4})],
)
def test_nothing_wrong_holds_in_every_way(rig: Rig, operation: str, way: str, ranks: int, part: set[int]) -> None:
    """Each group has a place of its own, and what it stored is read back; ranks that stand by are not asked."""
    result = rig.run(_case(operation=operation, way=way, ranks=ranks, workload="mixed"))
    assert result.complaints() == []
    assert {rank: outcome.kind for rank, outcome in result.outcomes.items()} == dict.fromkeys(part, "returned")
    places = result.evidence.storage[f"{operation}[1]"]
    assert sorted(rank for place in places for rank in place.ranks) == sorted(part)
    if operation != "load":
        assert all(place.committed and place.finish_acted and place.mismatches and not any(place.mismatches.values()) for place in places)


_IDLE = """
from ckpt_harness.engines.filesystem import FileSystemEngine
from ckpt_harness.faults.protocol import Capability

class Idle(FileSystemEngine):
    capabilities = frozenset({Capability.COLLECTIVES})

    def save(self, state, writer, planner, place, call): pass

    def committed(self, place, apart=0): return False

IDLE = Idle("idle", "reports success and stores nothing")
"""


def test_a_save_that_stores_nothing_is_violated_without_a_commit_marker_too(rig: Rig, tmp_path: Path) -> None:
    """What is reported as saved must load, whatever the engine claims."""
    (tmp_path / "idle.py").write_text(_IDLE)
    result = rig.run(_case(engine=f"{tmp_path / 'idle.py'}:IDLE", workload="stateful"))
    counting = {judgement.oracle for judgement in result.judgements if judgement.counts is Verdict.VIOLATED}
    assert "commitment" in counting


def test_only_the_group_that_failed_tries_again(rig: Rig) -> None:
    """The other is done."""
    result = rig.run(_case("writer.write_data@2=raise", ranks=4, way="groups"))
    assert result.verdict is Verdict.HOLDS
    assert {rank: outcome.kind for rank, outcome in (result.evidence.retry or {}).items()} == {0: "returned", 2: "returned"}
    assert [place.committed for place in result.evidence.storage["save[1]"]] == [False, True]


def test_an_explanation_names_who_owed_what(rig: Rig) -> None:
    """Group by group, where there are several."""
    lines = rig.run(_case("writer.write_data@2=raise", ranks=4, way="groups", workload="objects")).explain().splitlines()
    assert "owed: ranks 0, 2: fails in 'write' naming {rank 1: InjectedFault(injected at writer.write_data on rank 2)}" in lines
    assert "owed: ranks 1, 3: succeeds" in lines
    assert lines[-1] == "ckpt-harness replay writer.write_data@2=raise --op save --ranks 4 --workload objects --way groups"


def test_a_failed_save_is_tried_again(rig: Rig) -> None:
    """By the same ranks, healed; unless the case says no, or the commit acted and is to be read instead."""
    failed = _case("writer.write_data@1=raise")
    assert {outcome.kind for outcome in (rig.run(failed).evidence.retry or {}).values()} == {"returned"}
    assert rig.run(replace(failed, retry=False)).evidence.retry is None
    acted = rig.run(_case("writer.finish@0!after=raise"))
    assert (acted.verdict, acted.evidence.retry) == (Verdict.HOLDS, None)
    assert acted.evidence.storage["save[1]"][0].committed


def test_no_retry_is_owed_once_a_rank_was_lost(rig: Rig) -> None:
    """A group with a dead member is not what the same processes can try again with."""
    result = rig.run(_case("writer.write_data@1=kill"))
    assert (result.expectation.ending, result.evidence.retry, result.verdict) == (Ending.STALLS, None, Verdict.HOLDS)
    assert result.outcomes[1].kind == "dead"


def test_alone_means_without_a_group(rig: Rig) -> None:
    """One rank fails by itself, names itself 0, and tries again."""
    result = rig.run(_case("writer.write_data@0=raise(OSError:EIO)", ranks=1, way="alone"))
    assert (result.verdict, set(result.expectation.failures)) == (Verdict.HOLDS, {0})


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (_case(operation="copy"), "unknown operation 'copy'; valid: save, async_save, load"),
        (_case(engine="tape"), "unknown engine 'tape'; valid: filesystem, "),
        (_case(engine="no.such.module:ENGINE"), "cannot be imported"),
        (_case(workload="huge"), "unknown workload 'huge'; valid: replicated"),
        (_case(way="alone"), "way .alone. .one rank, no process group. does not work with 2 ranks; valid: 1"),
        (_case(operation="async_save", coordinator=1), "async_save coordinates on rank 0 only"),
    ],
)
def test_an_impossible_case_is_refused(rig: Rig, case: Case, words: str) -> None:
    """With the value and the choices, before anything runs."""
    with pytest.raises(UsageError, match=words):
        rig.run(case)


@pytest.mark.parametrize(("plan", "coordinator"), [("", 2), ("", -1), ("writer.write_data@2=raise", 0), ("writer.finish@0=raise", 1)])
def test_a_plan_that_does_not_fit_is_refused(rig: Rig, plan: str, coordinator: int) -> None:
    """A rank or a coordinator outside the world."""
    with pytest.raises(PlanError, match="valid|alone"):
        rig.run(_case(plan, coordinator=coordinator))


def test_the_fault_free_course_is_run_once(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cases that differ in their plan and seed share it."""
    first = rig.trace(_case("writer.write_data@1=raise"))
    assert rig.trace(_case("writer.finish@0=raise", seed=7)) is first
    assert rig.trace(_case(workload="objects")) is not first


def test_damage_to_the_checkpoint_before_is_seen_and_repaired(tmp_path: Path) -> None:
    """The case that did it is violated, by name of what changed; the next one finds a whole checkpoint again."""
    with Rig(tmp_path, Register()) as rig:
        case = _case()
        rig.trace(case)  # the course without faults is known, so the next run is the case's own
        previous = Path(rig.baseline(case).places[0])
        (previous / "surplus").touch()
        (previous / ".metadata").write_bytes(b"")
        (previous / "__1_0.distcp").unlink()
        hurt = rig.run(case)
        (complaint,) = hurt.complaints()
        assert complaint.startswith("commitment VIOLATED: checkpoint 'previous' was changed")
        assert all(text in complaint for text in ("surplus is new", ".metadata is changed", "__1_0.distcp is gone"))
        assert rig.run(case).verdict is Verdict.HOLDS
        assert rig.run(_case(operation="load")).verdict is Verdict.HOLDS
        shutil.rmtree(rig.baseline(case).places[0])
        assert rig.run(case).verdict is Verdict.VIOLATED
        assert rig.run(case).verdict is Verdict.HOLDS


def test_an_engine_that_cannot_save_at_all_is_no_fault_of_the_plan(monkeypatch: pytest.MonkeyPatch) -> None:
    """What broke before the case began is reported as that."""
    from ckpt_harness.engines.filesystem import FILESYSTEM

    def broken(*args: object, **kwargs: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FILESYSTEM, "save", broken, raising=False)
    with Rig(register=Register()) as rig:
        result = rig.run(_case("writer.write_data@1=raise"))
    assert result.verdict is Verdict.VIOLATED
    assert any("attribution VIOLATED" in line and "No space left" in line for line in result.complaints())


def test_errors_do_not_show_where_the_rig_works(tmp_path: Path) -> None:
    """The same case reads the same on every machine."""
    with Rig(tmp_path / "deep", Register()) as rig:
        case = _case(operation="load")
        rig.trace(case)
        for file in Path(rig.baseline(case).places[0]).glob("*.distcp"):
            file.unlink()
        result = rig.run(case)
    assert "<root>" in result.explain()
    assert str(tmp_path) not in result.explain() + result.history.to_jsonl()


def test_nothing_is_left_behind(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No file, no directory and no thread, after cases that fail, hang and die."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    threads = threading.active_count()
    with Rig() as rig:
        for _ in range(5):
            for plan in ("", "writer.write_data@1=raise", "writer.write_data@1=hang", "writer.write_data@1=kill", "writer.reset@0=raise"):
                rig.run(_case(plan, workload="objects"))
            rig.run(_case("writer.write_data@0=kill", operation="async_save", workload="objects"))
        assert list(tmp_path.iterdir()) != []
    assert list(tmp_path.iterdir()) == []
    assert threading.active_count() == threads


def test_a_directory_of_the_callers_stays() -> None:
    """Only what the rig stored there is removed."""
    with tempfile.TemporaryDirectory() as name:
        with Rig(Path(name)) as rig:
            rig.run(_case(workload="objects"))
        assert list(Path(name).iterdir()) == []


def test_an_explanation_says_what_was_owed_and_replays(rig: Rig) -> None:
    """And a violated case is an assertion that carries it."""
    from ckpt_harness.errors import OracleViolation

    rig.register = Register()
    result = rig.run(_case("writer.reset@1=raise(huge)", workload="objects"))
    with pytest.raises(OracleViolation, match="owed: fails naming {rank 1"):
        result.check()
    assert len(result.explain()) < 10_000
    assert (
        result.explain().splitlines()[-1]
        == result.case.replay_line()
        == "ckpt-harness replay 'writer.reset@1=raise(huge)' --op save --ranks 2 --workload objects"
    )


def test_engines_do_not_share_what_a_case_finds(rig: Rig) -> None:
    """The checkpoint that a case of one engine finds is not that of another, in the same rig."""
    assert [rig.run(_case(operation="load", engine=name)).complaints() for name in ("filesystem", "filesystem-threads", "filesystem")] == [[], [], []]
