"""Engines: preferred values of each, content that each cannot hold, and the error if an engine cannot run here."""

from __future__ import annotations

import sys

import pytest
from click.testing import CliRunner

from ckpt_harness import Case, FaultPlan
from ckpt_harness.cli import main
from ckpt_harness.engines.complete import complete
from ckpt_harness.engines.names import BUILT_IN, find_engine
from ckpt_harness.errors import UsageError
from ckpt_harness.workloads.workload import PARALLEL, WORKLOADS


@pytest.mark.parametrize("name", BUILT_IN)
def test_an_engine_has_the_name_by_which_it_is_found(name: str) -> None:
    """A case with that name can be bound, in the world that the engine runs in."""
    engine = find_engine(name)
    assert complete(engine, name) is engine  # find_engine itself checks the engines of others only
    assert engine.name == name
    Case(engine=name, world="processes" if engine.usual.get("world") else "simulated").bind()


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_usual_workload_of_an_engine_is_one_that_it_can_hold(name: str) -> None:
    """A sweep uses this workload by default."""
    engine, kinds = find_engine(name), {**WORKLOADS, **PARALLEL}
    assert not kinds[engine.usual.get("workload", Case.workload)].holds & engine.cannot_hold


def test_default_fields_of_a_case_take_the_engines_preferred_values() -> None:
    """This holds for the operation (and the plan's addresses), executor, way and workload; fields that the case sets are kept."""
    plan = FaultPlan.parse("save/writer.write_data@1=raise; load/reader.read_data@0=raise")
    saved = Case(plan, engine="async-process").settled()
    assert (saved.operation, saved.executor) == ("async_save", "process")
    assert str(saved.plan) == "async_save/writer.write_data@1=raise; load/reader.read_data@0=raise"
    assert Case(operation="load", engine="async-process").settled().executor == "thread"
    assert Case(engine="filesystem-no-collectives").settled().way == "no_collectives"
    assert Case(engine="huggingface").settled().workload == "tensors"
    assert Case(engine="huggingface", workload="nested").settled().workload == "nested"
    assert saved.settled() == saved


def test_a_replay_line_has_the_fields_that_differ_from_the_preferred_values() -> None:
    """So it leads to the same case."""
    assert Case(engine="async-process", world="processes").settled().replay_line() == "ckpt-harness replay '' --op async_save --ranks 2 --engine async-process"
    assert Case(engine="huggingface", workload="nested").replay_line().endswith("--engine huggingface --workload nested")


@pytest.mark.parametrize(
    ("case", "words"),
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
def test_what_an_engine_does_not_support_is_refused(case: Case, words: str) -> None:
    """Before anything runs, with the valid choices."""
    with pytest.raises(UsageError, match=words) if "file system" not in words else pytest.raises(Exception, match=words):
        case.bind()


@pytest.mark.parametrize(("name", "module", "package"), [("huggingface", "ckpt_harness.engines.huggingface", "safetensors")])
def test_an_engine_without_its_package_is_listed_as_such(monkeypatch: pytest.MonkeyPatch, name: str, module: str, package: str) -> None:
    """The list says that the engine cannot run here and what to install; the other engines are not affected."""
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(UsageError, match=f"needs the package {package}: pip install 'ckpt-harness"):
        find_engine(name)
    listed = CliRunner().invoke(main, ["engines"], env={"COLUMNS": "900"}).output
    assert "fsspec-memory" in listed
    assert f"needs the package {package}" in listed
