"""Plans as values: text, JSON, hash and pickle, phases, and the dictionaries of DCP's own tests."""

from __future__ import annotations

import dataclasses
import json
import pickle

import pytest
from hypothesis import given

from ckpt_harness.errors import PlanError
from ckpt_harness.faults.effects import Delay, FailFuture, Hang, Kill, Raise
from ckpt_harness.faults.fault import Fault, OperationRef
from ckpt_harness.faults.plan import FaultPlan, as_plan
from ckpt_harness.faults.sites import SITES
from ckpt_harness.strategies import fault_plans

EVERY_SITE = [site.name for site in SITES.values() if "save" in site.operations]
PLANS = fault_plans(ranks=4, coordinator=1, operations=3, sites=EVERY_SITE)


@given(PLANS)
def test_the_text_of_a_plan_parses_back(plan: FaultPlan) -> None:
    """``parse(str(plan)) == plan``, and its repr can be pasted."""
    assert FaultPlan.parse(str(plan)) == plan
    assert eval(repr(plan)) == plan


@given(PLANS)
def test_a_plan_survives_json(plan: FaultPlan) -> None:
    """As data, and as JSON text."""
    assert FaultPlan.from_json(plan.to_json()) == plan
    assert FaultPlan.from_json(json.dumps(plan.to_json())) == plan


@given(PLANS)
def test_a_plan_is_a_value(plan: FaultPlan) -> None:
    """Equal plans have equal hashes, and a pickled one is equal."""
    again = pickle.loads(pickle.dumps(plan))
    assert again == plan
    assert hash(again) == hash(FaultPlan.parse(str(plan))) == hash(plan)


def test_a_plan_cannot_be_changed() -> None:
    """It is frozen, and so are its faults."""
    plan = FaultPlan.parse("writer.finish@0=raise")
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.faults = ()
    with pytest.raises(dataclasses.FrozenInstanceError):
        plan.faults[0].nth = 2


EXAMPLES = [
    ("writer.write_data@2=raise(OSError:ENOSPC)", Fault("writer.write_data", (2,), Raise("OSError:ENOSPC"))),
    ("write_data@2=raise", Fault("writer.write_data", (2,), Raise())),
    ("save/write@0,2=raise", Fault("writer.write_data", (0, 2), Raise(), operation=OperationRef("save"))),
    ("save[3]/write@2=raise", Fault("writer.write_data", (2,), Raise(), operation=OperationRef("save", 3))),
    ("load/setup@others=hang", Fault("reader.set_up_storage_reader", "others", Hang(), operation=OperationRef("load"))),
    ("async_save[2]/stage@all=kill", Fault("writer.stage", "all", Kill(), operation=OperationRef("async_save", 2))),
    ("finish@coordinator!after=raise(OSError:EIO)", Fault("writer.finish", "coordinator", Raise("OSError:EIO"), after=True)),
    ("save_planner.resolve_data@1#3=raise", Fault("save_planner.resolve_data", (1,), Raise(), nth=3)),
    ("pg.gather@1#2x4=delay(2.5)", Fault("pg.gather", (1,), Delay(2.5), nth=2, times=4)),
    ("read_metadata@1#1x*=raise?", Fault("reader.read_metadata", (1,), Raise(), times=None, optional=True)),
    ("write_data.future@3=failfuture(value,ValueError)", Fault("writer.write_data.future", (3,), FailFuture("value", "ValueError"))),
    (" writer.finish @ 0 = raise ", Fault("writer.finish", (0,), Raise())),
    ("write_data@2,0,2=raise", Fault("writer.write_data", (0, 2), Raise())),
]


@pytest.mark.parametrize(("text", "fault"), EXAMPLES, ids=[text for text, _ in EXAMPLES])
def test_the_grammar_reads(text: str, fault: Fault) -> None:
    """Operation, site, ranks, occurrence, moment, effect, option."""
    assert FaultPlan.parse(text) == FaultPlan((fault,))


def test_faults_are_joined_by_semicolons() -> None:
    """In the order written; empty parts do not matter."""
    plan = FaultPlan.parse("write_data@2=raise; ;finish@0=hang;")
    assert [fault.site for fault in plan] == ["writer.write_data", "writer.finish"]
    assert str(plan) == "writer.write_data@2=raise; writer.finish@0=hang"


@pytest.mark.parametrize("text", ["", " ", ";"])
def test_an_empty_text_is_the_empty_plan(text: str) -> None:
    """Which is false, and does nothing."""
    assert FaultPlan.parse(text) == FaultPlan()
    assert not FaultPlan.parse(text)


def test_inside_a_wrapper_the_side_may_be_left_out() -> None:
    """``reset`` is ambiguous, unless a writer asks."""
    assert FaultPlan.parse("reset@0=raise", side="writer").faults[0].site == "writer.reset"
    assert FaultPlan.parse("setup@0=raise", side="reader").faults[0].site == "reader.set_up_storage_reader"


def test_an_api_takes_a_plan_or_its_text() -> None:
    """A plan passes as it is."""
    plan = FaultPlan.parse("reader.reset@0=raise")
    assert as_plan(plan) is plan
    assert as_plan("reset@0=raise", side="reader") == plan


def _sites(text: str, side: str | None = None) -> list[list[str]]:
    return [[fault.site for fault in plan] for plan in FaultPlan.expand(text, side=side)]


def test_a_phase_expands_to_one_plan_a_site() -> None:
    """Every site of the phase in turn; what only the coordinator calls is left out on other ranks."""
    assert _sites("save/prepare@2=raise") == [["writer.prepare_local_plan"]]
    assert _sites("save/prepare@coordinator=raise") == [["writer.prepare_local_plan"], ["writer.prepare_global_plan"]]
    assert _sites("read@1=raise") == [["reader.read_data"], ["reader.read_data.future"]]
    assert _sites("finish@3=raise") == _sites("finish@coordinator=raise") == [["writer.finish"]]


@pytest.mark.parametrize("addressed", ["", "save/", "load[2]/"])
def test_collectives_are_the_same_in_every_operation(addressed: str) -> None:
    """Saves and loads share the phase's sites."""
    assert FaultPlan.parse(f"{addressed}collective@1=raise").faults[0].site == "pg.gather"
    assert len(FaultPlan.expand(f"{addressed}collective@1=raise")) == 5


def test_a_phase_of_the_coordinator_alone_has_no_sites_elsewhere() -> None:
    """Which is said, with what to write instead."""
    with pytest.raises(PlanError, match="valid: finish@coordinator"):
        FaultPlan.expand("finish@others=raise")


def test_an_error_at_a_phase_becomes_a_failed_future() -> None:
    """Nothing can be raised at a future."""
    call, future = FaultPlan.expand("write@2!after=raise(OSError:EIO)")
    assert str(call) == "writer.write_data@2!after=raise(OSError:EIO)"
    assert str(future) == "writer.write_data.future@2=failfuture(wait,OSError:EIO)"


def test_phases_expand_in_all_combinations() -> None:
    """Two phases of two sites are four plans; a named site stays."""
    assert len(FaultPlan.expand("write@1=raise; read@2=raise")) == 4
    assert _sites("write@1=raise; finish@0=raise")[0] == ["writer.write_data", "writer.finish"]
    assert _sites("writer.write_data@1=raise") == [["writer.write_data"]]


@pytest.mark.parametrize("phase", ["setup", "prepare"])
def test_a_phase_of_both_directions_must_be_told_which(phase: str) -> None:
    """Where a single plan is wanted."""
    with pytest.raises(PlanError, match=f"valid: save/{phase}, load/{phase}, or the name of a site"):
        FaultPlan.parse(f"{phase}@0=raise")


def test_the_dictionaries_of_dcps_own_tests_are_read() -> None:
    """The same keys for both sides; every fault strikes for ever, with a ValueError, as there."""
    conf = {"fail_write_data": [2, 0], "fail_write_data_async": [1], "fail_finish": [], "ignore_exception_type": True}
    assert str(FaultPlan.from_fail_conf(conf, side="writer")) == (
        "writer.write_data@0,2#1x*=raise(ValueError); writer.write_data.future@1#1x*=failfuture(wait,ValueError)"
    )
    read = FaultPlan.from_fail_conf({"fail_read_data_async": [3], "fail_read_metadata": [1]}, side="reader")
    assert [fault.site for fault in read] == ["reader.read_data.future", "reader.read_metadata"]


@pytest.mark.parametrize(
    ("conf", "side", "words"),
    [
        ({"fail_wirte_data": [0]}, "writer", "unknown writer key 'fail_wirte_data'; nearest: fail_write_data, "),
        ({"fail_read_data": [0]}, "writer", "unknown writer key 'fail_read_data'"),
        ({"fail_write_data": 2}, "writer", r"valid: a list of ranks, such as \[0, 2\]"),
        ({"fail_write_data": "02"}, "writer", "valid: a list of ranks"),
        ({"fail_write_data": ["0"]}, "writer", "valid: a list of ranks"),
        ({"fail_write_data": [-1]}, "writer", "from 0"),
        ({}, "planner", "valid: writer, reader"),
    ],
)
def test_a_dictionary_that_means_nothing_is_refused(conf: dict[str, object], side: str, words: str) -> None:
    """With the value and the choices."""
    with pytest.raises(PlanError, match=words):
        FaultPlan.from_fail_conf(conf, side=side)
