"""Engines as values: what is usual with each, what each cannot hold, and what one says that cannot run here."""

from __future__ import annotations

import sys

import pytest
from click.testing import CliRunner

from ckpt_harness import Case, FaultPlan
from ckpt_harness.cli import main
from ckpt_harness.engines.names import BUILT_IN, find_engine
from ckpt_harness.errors import UsageError
from ckpt_harness.workloads.workload import PARALLEL, WORKLOADS


@pytest.mark.parametrize("name", BUILT_IN)
def test_an_engine_has_the_name_by_which_it_is_found(name: str) -> None:
    """And a case that names it alone can be bound, in the world that it runs in."""
    engine = find_engine(name)
    assert engine.name == name
    Case(engine=name, world="processes" if engine.usual.get("world") else "simulated").bind()


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_usual_workload_of_an_engine_is_one_that_it_can_hold(name: str) -> None:
    """What a sweep runs on where nobody names a workload."""
    engine, kinds = find_engine(name), {**WORKLOADS, **PARALLEL}
    assert not kinds[engine.usual.get("workload", Case.workload)].holds & engine.cannot_hold


def test_what_a_case_leaves_at_its_default_is_as_usual_with_its_engine() -> None:
    """The kind of save, to which the plan is readdressed, what does it, the way of calling and the workload; what a case says stays."""
    plan = FaultPlan.parse("save/writer.write_data@1=raise; load/reader.read_data@0=raise")
    saved = Case(plan, engine="async-process").settled()
    assert (saved.operation, saved.executor) == ("async_save", "process")
    assert str(saved.plan) == "async_save/writer.write_data@1=raise; load/reader.read_data@0=raise"
    assert Case(operation="load", engine="async-process").settled().executor == "thread"
    assert Case(engine="filesystem-no-collectives").settled().way == "no_collectives"
    assert Case(engine="huggingface").settled().workload == "tensors"
    assert Case(engine="huggingface", workload="nested").settled().workload == "nested"
    assert saved.settled() == saved


def test_a_replay_line_says_what_is_not_usual() -> None:
    """So that it leads to the same case."""
    assert Case(engine="async-process", world="processes").settled().replay_line() == "ckpt-harness replay '' --op async_save --ranks 2 --engine async-process"
    assert Case(engine="huggingface", workload="nested").replay_line().endswith("--engine huggingface --workload nested")


@pytest.mark.parametrize(
    ("case", "told"),
    [
        (Case(engine="huggingface", workload="objects"), "workload 'objects' holds objects, which engine 'huggingface' cannot store; valid: rep"),
        (Case(engine="filesystem-no-collectives", workload="dtensor"), "way 'no_collectives' cannot load workload 'dtensor'"),
        (Case(workload="quantized"), "holds quantized tensors, which engine 'filesystem' cannot store"),
        (Case(engine="filesystem-no-collectives", way="groups"), "engine 'filesystem-no-collectives' is always called with way 'no_collectives'"),
        (
            Case(FaultPlan.parse("writer.reset@0=raise"), engine="huggingface-consolidated"),
            "engine 'huggingface-consolidated' never calls writer.reset in save; nearest: writer.storage_meta, writer.finish",
        ),
        (Case(engine="huggingface-consolidated", planner="no-flatten"), "unknown planner 'no-flatten' for engine 'huggingface-consolidated'; valid: default"),
        (Case(engine="async-process"), "engine 'async-process' cannot run on ranks of world 'simulated'; valid: world 'processes'"),
        (Case(engine="async-process", operation="load"), "valid: world 'processes'"),
        (Case(engine="async-thread", executor="process"), "always called with executor 'thread'"),
        (Case(engine="huggingface", way="no_collectives"), "does not claim 'without collectives'"),
        (Case(FaultPlan.parse("fs.write@0=nospace(0)"), engine="huggingface"), "does not claim 'file system'"),
    ],
)
def test_what_an_engine_is_not_for_is_refused(case: Case, told: str) -> None:
    """Before anything runs, with what would be right."""
    with pytest.raises(UsageError, match=told) if "file system" not in told else pytest.raises(Exception, match=told):
        case.bind()


@pytest.mark.parametrize(("name", "module", "package"), [("huggingface", "ckpt_harness.engines.huggingface", "safetensors")])
def test_an_engine_that_lacks_a_package_says_so_and_the_others_go_on(monkeypatch: pytest.MonkeyPatch, name: str, module: str, package: str) -> None:
    """It is listed as one that does not run here, with what to install."""
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=f"needs the package {package}: pip install 'ckpt-harness"):
        find_engine(name)
    listed = CliRunner().invoke(main, ["engines"], env={"COLUMNS": "900"}).output
    assert "fsspec-memory" in listed
    assert f"needs the package {package}" in listed
