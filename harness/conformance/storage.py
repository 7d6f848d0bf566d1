"""What DCP's users may expect of a storage writer and reader, as tests that a class inherits.

    class TestMine(StorageConformance):
        capabilities = {"collectives", "commit marker"}

        def make_writer(self, place):
            return MyWriter(place)

        def make_reader(self, place):
            return MyReader(place)

The faults strike around the storage (its methods fail) and within it (the planner that it calls fails), on simulated ranks.
"""

from __future__ import annotations

import shutil
import warnings
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

import pytest

from harness.case import Case, CaseResult
from harness.conformance.engine import Storage, StorageEngine, claimed
from harness.engines.base import Call
from harness.errors import OracleViolation
from harness.expectation import Kind
from harness.plan import FaultPlan
from harness.protocol import Capability
from harness.sites import OperationKind
from harness.verdict import Verdict
from harness.workload import context_here, workload
from harness.worlds.base import RankResult
from harness.worlds.simulated import SimulatedWorld

_WORKLOAD = "mixed"
_SAVE = 1
"""Number of the save whose values a stored state holds."""


class Failure(NamedTuple):
    """A way in which an operation fails.

    Attributes:
        operation: ``save`` or ``load``.
        ranks: size of the world.
        plan: text of the plan.
    """

    operation: OperationKind
    ranks: int
    plan: str

    def __str__(self) -> str:
        return f"{self.operation}-{self.ranks}-{self.plan}"


def _failures() -> Iterator[Failure]:
    """Every method of the storage fails once, on the last rank or on the only one that calls it, and so does what the storage calls itself."""
    for ranks in (2, 3):
        victim = ranks - 1
        for method in ("set_up_storage_writer", "prepare_local_plan", "write_data"):
            yield Failure("save", ranks, f"writer.{method}@{victim}=raise(OSError:EIO)")
        yield Failure("save", ranks, f"writer.write_data.future@{victim}=failfuture(wait, OSError:EIO)")
        for method in ("prepare_global_plan", "finish"):
            yield Failure("save", ranks, f"writer.{method}@coordinator=raise(OSError:EIO)")
        yield Failure("save", ranks, f"save_planner.resolve_data@{victim}=raise(OSError:EIO)?")
        for method in ("set_up_storage_reader", "prepare_local_plan", "read_data"):
            yield Failure("load", ranks, f"reader.{method}@{victim}=raise(OSError:EIO)")
        yield Failure("load", ranks, f"reader.read_data.future@{victim}=failfuture(wait, OSError:EIO)")
        yield Failure("load", ranks, "reader.prepare_global_plan@coordinator=raise(OSError:EIO)")
        for method in ("load_bytes", "resolve_tensor", "commit_tensor"):
            yield Failure("load", ranks, f"load_planner.{method}@{victim}=raise(OSError:EIO)?")


FAILURES = tuple(_failures())


class _Runner(Protocol):
    def run(self, case: Case) -> CaseResult:
        """Runs a case and judges it."""


_RESULTS: WeakKeyDictionary[_Runner, dict[Case, CaseResult]] = WeakKeyDictionary()
"""What came of the cases of each session."""


class _Engine:
    """Gives each conformance class its engine, the same every time."""

    def __init__(self) -> None:
        self._made: dict[type[Storage], StorageEngine] = {}

    def __get__(self, instance: object, owner: type[Storage]) -> StorageEngine:
        return self._made.setdefault(owner, StorageEngine(owner))


class StorageConformance:
    """The tests. Inherit, name your class ``Test...``, and say how to make a writer and a reader.

    Attributes:
        capabilities: what the storage claims, by the values of :class:`harness.protocol.Capability`. What it does not claim is skipped, by name.
        engine: DCP on this storage, as replay lines name it.
    """

    capabilities: Collection[str] = frozenset({"collectives", "commit marker"})
    engine = _Engine()

    def make_writer(self, place: str) -> Any:
        """A ``StorageWriter`` for the directory ``place``, which may not exist yet; called once for each rank and operation."""
        raise NotImplementedError(f"{type(self).__name__} must say how to make its storage writer")

    def make_reader(self, place: str) -> Any:
        """A ``StorageReader`` for the directory ``place``, likewise."""
        raise NotImplementedError(f"{type(self).__name__} must say how to make its storage reader")

    def committed(self, place: str) -> bool:
        """Whether ``place`` holds a checkpoint that counts; by default, whether its metadata can be read."""
        try:
            self.make_reader(place).read_metadata()
        except Exception:  # noqa: BLE001  (what a reader raises for a checkpoint that is not there is its own affair)
            return False
        return True

    @pytest.fixture
    def outcome_of(self, ckpt_rig: _Runner) -> Callable[[Failure], CaseResult]:
        """Runs a failure once in a session, for all the claims about it."""
        results = _RESULTS.setdefault(ckpt_rig, {})

        def run(failure: Failure) -> CaseResult:
            plan = FaultPlan.parse(failure.plan)
            case = Case(plan, failure.operation, failure.ranks, engine=type(self).engine.name, workload=_WORKLOAD)
            if case not in results:
                results[case] = ckpt_rig.run(case)
            return results[case]

        return run

    @pytest.mark.parametrize("ranks", [2, 3])
    @pytest.mark.parametrize("operation", ["save", "load"])
    def test_what_is_saved_loads_bit_equal(self, ckpt_rig: _Runner, operation: OperationKind, ranks: int) -> None:
        """Where nothing fails, all ranks succeed, and everything is there, at another number of ranks too."""
        ckpt_rig.run(Case(FaultPlan(), operation, ranks, engine=type(self).engine.name, workload=_WORKLOAD)).check()

    @pytest.mark.parametrize("failure", FAILURES, ids=str)
    def test_every_rank_learns_of_a_failure(self, outcome_of: Callable[[Failure], CaseResult], failure: Failure) -> None:
        """Propagation: all ranks fail, in time; none reports success, none hangs."""
        __tracebackhide__ = True
        self._claims(Capability.COLLECTIVES)
        result = outcome_of(failure)
        _hold(result, "bounded", "agreement", "fired")
        if result.expectation.kind is Kind.FAILS and any(one.kind == "returned" for one in result.outcomes.values()):
            raise OracleViolation(f"a rank reported success\n{result.explain()}")

    @pytest.mark.parametrize("failure", FAILURES, ids=str)
    def test_every_rank_is_told_who_failed_and_of_what(self, outcome_of: Callable[[Failure], CaseResult], failure: Failure) -> None:
        """Attribution: a ``CheckpointException`` on every rank names exactly the rank that failed, with its own error."""
        __tracebackhide__ = True
        self._claims(Capability.COLLECTIVES)
        _hold(outcome_of(failure), "attribution")

    @pytest.mark.parametrize("failure", [one for one in FAILURES if one.operation == "save"], ids=str)
    def test_nothing_half_done_is_committed(self, outcome_of: Callable[[Failure], CaseResult], failure: Failure) -> None:
        """Commitment: a save that failed leaves nothing that reads as a checkpoint, and the one before it as it was."""
        __tracebackhide__ = True
        self._claims(Capability.COMMIT_MARKER)
        _hold(outcome_of(failure), "commitment")

    @pytest.mark.parametrize("failure", FAILURES, ids=str)
    def test_the_same_processes_can_try_again(self, outcome_of: Callable[[Failure], CaseResult], failure: Failure) -> None:
        """Recovery: with the fault healed, the same writer or reader succeeds."""
        __tracebackhide__ = True
        _hold(outcome_of(failure), "recovery")

    @pytest.mark.parametrize("ranks", [2, 3])
    def test_a_missing_file_is_noticed(self, tmp_path: Path, ranks: int) -> None:
        """Whatever single file goes missing after the save: a load fails on all ranks, or has everything all the same."""
        __tracebackhide__ = True
        warnings.simplefilter("ignore")  # pytest undoes it; what torch deprecates of what DCP does is not the storage's affair
        engine = type(self).engine
        whole = engine.place(tmp_path, "whole")
        for result in SimulatedWorld(ranks).run(_save, engine, whole, ranks):
            assert result.outcome == "returned", f"the save failed on rank {result.rank}: {result.record or result.wait}"
        for number, name in enumerate(engine.fingerprint(whole)):
            damaged = engine.place(tmp_path, f"damaged-{number}")
            shutil.copytree(whole, damaged)
            (Path(damaged) / name).unlink()
            _assert_noticed(name, SimulatedWorld(ranks).run(_load, engine, damaged, ranks))

    def _claims(self, capability: Capability) -> None:
        if capability not in claimed(type(self)):
            pytest.skip(f"not claimed: {capability.value!r}")


def _hold(result: CaseResult, *names: str) -> None:
    """Insists on some of the oracles. A known finding, which is DCP's and not the storage's, is an expected failure."""
    __tracebackhide__ = True
    asked = [one for one in result.judgements if one.oracle in names]
    if Verdict.worst(one.counts for one in asked) is not Verdict.HOLDS:
        raise OracleViolation(result.explain())
    known = sorted({one.known for one in asked if one.known is not None})
    if known:
        pytest.xfail(f"known: {', '.join(known)}")


def _save(engine: StorageEngine, place: str, ranks: int) -> None:
    state = workload(_WORKLOAD).make(context_here(_SAVE, ranks))
    engine.save(state, engine.make_writer(place), None, place, Call())


def _load(engine: StorageEngine, place: str, ranks: int) -> list[str]:
    """Loads; returns what came back wrong."""
    state = workload(_WORKLOAD).make(context_here(None, ranks))
    engine.load(state, engine.make_reader(place), None, place, Call())
    return workload(_WORKLOAD).mismatches(state, context_here(_SAVE, ranks))


def _assert_noticed(name: str, results: Collection[RankResult]) -> None:
    __tracebackhide__ = True
    if all(one.outcome == "raised" for one in results) or all(one.outcome == "returned" and not one.value for one in results):
        return
    endings = (f"rank {one.rank} {one.outcome}: {one.value if one.outcome == 'returned' else one.record or one.wait}" for one in results)
    raise OracleViolation("\n".join([f"without the file {name!r}, a load ended like this:", *endings]))
