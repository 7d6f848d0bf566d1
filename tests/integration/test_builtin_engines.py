"""Every engine that the harness ships stores what it can hold, and tells of failures what it claims to tell."""

from __future__ import annotations

from pathlib import Path

import pytest

from ckpt_harness import Case, FaultPlan
from ckpt_harness.cases.rig import Rig
from ckpt_harness.engines.huggingface import HuggingFaceEngine
from ckpt_harness.engines.names import BUILT_IN, find_engine
from ckpt_harness.judging.verdict import Verdict
from ckpt_harness.workloads.workload import PARALLEL, WORKLOADS

SIMULATED = [name for name in BUILT_IN if find_engine(name).usual.get("world") is None]


class _NeverDequantizes(HuggingFaceEngine):
    """Claims to hold what only a reader that dequantizes gives back."""

    usual = {"workload": "quantized"}  # noqa: RUF012  (as its class has it)
    cannot_hold = frozenset()


RAW = _NeverDequantizes(f"{__file__}:RAW", "reads what is stored as it is", consolidated=True)


@pytest.mark.parametrize("engine", SIMULATED)
@pytest.mark.parametrize(
    ("operation", "plan"), [("save", ""), ("load", ""), ("save", "writer.write_data@1=raise(OSError:EIO)"), ("save", "writer.finish@0=raise")]
)
def test_every_engine_keeps_what_it_claims(engine: str, operation: str, plan: str) -> None:
    """Undisturbed, and where a rank fails while it writes or commits."""
    with Rig() as rig:
        result = rig.run(Case(FaultPlan.parse(plan), operation, 3, engine=engine))  # type: ignore[arg-type]  # one of two literals
    assert result.verdict is Verdict.HOLDS, result.explain()
    if not plan:
        apart = engine == "filesystem-no-collectives" and operation == "save"
        assert list(result.known) == (["DCP-015"] if apart else [])  # which takes no fault
        assert {outcome.kind for outcome in result.outcomes.values()} == {"returned"}


@pytest.mark.parametrize("workload", [*WORKLOADS, *PARALLEL])
@pytest.mark.parametrize("engine", ["filesystem", "huggingface", "huggingface-consolidated", "huggingface-quantized"])
def test_an_engine_holds_every_workload_that_it_does_not_say_it_cannot(engine: str, workload: str) -> None:
    """Saved by two ranks, loaded by two, by one, and by others than saved it."""
    if {**WORKLOADS, **PARALLEL}[workload].holds & find_engine(engine).cannot_hold:
        return  # refused; a unit test has that
    with Rig() as rig:
        for operation in ("save", "load"):
            result = rig.run(Case(operation=operation, engine=engine, workload=workload))  # type: ignore[arg-type]  # one of two literals
            assert result.verdict is Verdict.HOLDS, result.explain()


def test_weights_that_are_not_dequantized_are_wrong() -> None:
    """Saved well, and loaded with success by a reader that knows nothing of scales."""
    with Rig() as rig:
        result = rig.run(Case(operation="load", engine=f"{Path(__file__)}:RAW"))
    assert [judgement.oracle for judgement in result.judgements if judgement.verdict is Verdict.VIOLATED] == ["filled"]
    assert "layer.weight: 15 of 15 elements" in result.explain()


def test_a_thread_saves_for_async_thread_and_each_rank_commits_for_itself_without_collectives() -> None:
    """What is behind the names."""
    with Rig() as rig:
        background = rig.run(Case(engine="async-thread"))
        apart = rig.run(Case(engine="filesystem-no-collectives"))
    assert background.expectation.operation == "async_save[1]"
    assert {event.rank for event in apart.history if event.site == "writer.finish"} == {0, 1}


def test_a_checkpoint_of_every_engine_of_a_directory_is_compressed_only_by_zstd(tmp_path: Path) -> None:
    """The extension was used: the metadata names it."""
    with Rig(tmp_path) as rig:
        rig.run(Case(operation="load", engine="filesystem-zstd"))
        (metadata,) = tmp_path.rglob(".metadata")
        assert b"stream.zstd" in metadata.read_bytes()
