"""A bound case: everything that the names of a case stand for, looked up once; and what is refused instead."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from torch.distributed.checkpoint import StorageWriter

from ckpt_harness.cases.case import Case
from ckpt_harness.engines.filesystem import FileSystemEngine
from ckpt_harness.engines.names import find_engine
from ckpt_harness.errors import PlanError, UsageError
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.protocol import Group
from ckpt_harness.workloads.workload import find_workload


def test_it_holds_what_the_names_of_the_case_stand_for() -> None:
    """Engine, workload, call style, groups, protocol and plan."""
    bound = Case(FaultPlan.parse("writer.write_data@others=raise"), ranks=4, way="groups", coordinator=1).bind()
    assert (bound.engine, bound.workload) == (find_engine("filesystem"), find_workload("mixed"))
    assert (bound.call_style.name, bound.protocol.name) == ("groups", "DCP")
    assert bound.groups == (Group((0, 2), 2), Group((1, 3), 3))
    assert (bound.coordinators, bound.members) == ({2, 3}, {0, 1, 2, 3})
    assert [fault.ranks for fault in bound.plan.faults] == [{0, 1}]


def test_its_case_is_settled() -> None:
    """Fields at their default take the value that the engine prefers, and faults move to the operation that it has."""
    bound = Case(FaultPlan.parse("save/writer.write_data@1=raise"), engine="async-thread").bind()
    assert bound.case == bound.case.settled()
    assert (bound.case.operation, str(bound.plan.plan)) == ("async_save", "async_save/writer.write_data@1=raise")


def test_two_are_equal_if_their_cases_are() -> None:
    """However often a case is bound; and what it was bound to is not part of how it prints."""
    bound = Case(ranks=3).bind()
    assert bound == Case(ranks=3).bind() != Case(ranks=4).bind()
    assert hash(bound) == hash(Case(ranks=3).bind())
    assert repr(bound) == f"BoundCase(case={Case(ranks=3)!r})"


def test_without_faults_it_watches_what_its_faults_struck() -> None:
    """So that the course shows the calls below the storage which the faults are to meet; all else stays."""
    bound = Case(FaultPlan.parse("fs.rename@0=diskerror(EIO)"), seed=7).bind()
    free = bound.without_faults()
    assert free.case == bound.case.without_faults()
    assert (free.plan.faults, free.case.watch_disk, free.case.seed, free.case.retry) == ((), True, 0, False)
    assert (free.engine, free.groups) == (bound.engine, bound.groups)


@pytest.mark.parametrize(
    ("case", "together"),
    [(Case(), False), (Case(way="groups"), True), (Case(operation="async_save", overlap="separate"), True), (Case(way="no_dist"), False)],
)
def test_ranks_with_groups_of_their_own_leave_together(case: Case, together: bool) -> None:
    """A rank that destroys a process group would end the wait of others in it."""
    assert case.bind().leaves_together is together


@pytest.mark.parametrize(
    ("field", "value", "valid"),
    [
        ("operation", "copy", "save, async_save, load"),
        ("world", "flat", "simulated, processes, attached"),
        ("onto", "ruins", "nothing, checkpoint"),
        ("executor", "fiber", "thread, process"),
        ("staging", "never", "writer, engine, blocking, background"),
        ("overlap", "twice", "none, shared, separate"),
    ],
)
def test_a_value_that_is_no_choice_is_refused_with_the_choices(field: str, value: str, valid: str) -> None:
    """Before anything is looked up."""
    with pytest.raises(UsageError) as refused:
        Case(**{field: value}).bind()  # type: ignore[arg-type]  # values that no literal has
    assert str(refused.value) == f"unknown {field} {value!r}; valid: {valid}"


@pytest.mark.parametrize(
    "case",
    [
        Case(operation="c" * 5000),  # type: ignore[arg-type]  # no literal
        Case(planner="p" * 5000),
        Case(FaultPlan.parse("fs.write(" + "x" * 5000 + ")@0=nospace(0)"), engine="huggingface"),
        Case(FaultPlan.parse("writer.reset@0=raise"), engine="huggingface-consolidated"),
        Case(workload="dtensor", way="no_collectives"),
        Case(workload="quantized"),
        Case(executor="process", operation="async_save"),
        Case(overlap="separate", operation="async_save", way="groups"),
        Case(staging="engine", operation="async_save"),
        Case(engine="fsspec-memory", world="processes"),
        Case(engine="async-process"),
        Case(operation="async_save", coordinator=1),
    ],
)
def test_every_refusal_is_one_short_line(case: Case) -> None:
    """However long the value is, and however many choices there are."""
    with pytest.raises((PlanError, UsageError)) as refused:
        case.bind()
    message = str(refused.value)
    assert "\n" not in message
    assert len(message) < 200


class _Stager:
    """A stager of an engine's own."""


class _EngineWithStager(FileSystemEngine):
    def make_stager(self, staging: str) -> Any:
        return _Stager()


OWN_STAGER = _EngineWithStager("own-stager", "for a test")


class _Writer(StorageWriter):
    """A writer that is no stager, and is never called."""

    def __init__(self, place: str) -> None:
        """Where it would write is of no interest."""

    finish = prepare_global_plan = prepare_local_plan = reset = set_up_storage_writer = write_data = validate_checkpoint_id = None  # type: ignore[assignment]


class _EngineOfAnotherWriter(FileSystemEngine):
    def make_writer(self, place: str) -> Any:
        return _Writer(place)


class _EngineThatStages(_EngineOfAnotherWriter):
    """Its async_save may pass any stager."""

    def async_save(self, *args: Any) -> Any:
        return super().async_save(*args)


NO_STAGER, STAGES = _EngineOfAnotherWriter("no-stager", "for a test"), _EngineThatStages("stages", "for a test")


def test_a_writer_that_does_not_stage_is_refused_a_sharded_tensor() -> None:
    """DCP makes its own stager then: the engine is not to blame that this one cannot copy. Other states, other ways, and saves that do not stage are fine."""
    case = Case(operation="async_save", engine=f"{__file__}:NO_STAGER")
    with pytest.raises(UsageError, match=r"^staging 'writer' \(no AsyncStager\): DCP's stager cannot copy the ShardedTensor") as refused:
        case.bind()
    assert len(str(refused.value)) < 200
    for more in ({"workload": "stateful"}, {"staging": "blocking"}, {"operation": "save"}, {"engine": f"{__file__}:STAGES"}, {"engine": "filesystem"}):
        dataclasses.replace(case, **more).bind()  # type: ignore[arg-type]  # fields of Case


def test_dcps_stager_is_refused_a_sharded_tensor() -> None:
    """The refusal says what to do instead. An engine that has a stager of its own may copy anything."""
    with pytest.raises(UsageError, match="DCP's stager cannot copy the ShardedTensor in workload 'mixed'; valid: staging 'blocking', or") as refused:
        Case(operation="async_save", staging="background").bind()
    assert len(str(refused.value)) < 200
    own = Case(operation="async_save", staging="background", engine=f"{__file__}:OWN_STAGER")
    assert own.bind().case.staging == "background"
    with pytest.raises(UsageError, match="DCP's stager cannot copy"):
        dataclasses.replace(own, staging="engine").bind()
