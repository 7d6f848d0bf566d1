"""Runs a case: set up, act under the plan, heal and try again, read back, judge.

A :class:`Rig` owns what cases run on: a directory, the checkpoints that were committed before anything went wrong, and the fault-free courses that
the model needs. It is reused from case to case, since making those anew would be most of a case's cost.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from harness import oracles
from harness._inject import Injector
from harness._torch import is_stateful
from harness.case import Case, CaseResult
from harness.engines.base import Engine, find
from harness.expectation import Expectation, Forecast, Kind, forecast
from harness.findings.register import Register
from harness.history import ErrorRecord, History
from harness.oracles import Evidence, Outcome, StorageEvidence
from harness.planner import FaultyLoadPlanner, FaultySavePlanner
from harness.protocol import DCP_ALONE
from harness.runtime import current
from harness.stateful import FaultyStateful
from harness.storage import FaultyStorageReader, FaultyStorageWriter
from harness.trace import Trace
from harness.workload import State, Workload, context_here, workload
from harness.worlds.base import RankResult, World
from harness.worlds.simulated import SimulatedWorld

PREVIOUS, ATTEMPT, RETRY = 1, 2, 3
"""Numbers of the saves of a case, as the tags in their elements carry them."""
TIMEOUT = 1800.0
"""Virtual seconds that a collective of a case waits; torch's default for gloo."""


@dataclass(frozen=True)
class _Previous:
    """A checkpoint that was committed before the case.

    Attributes:
        place: where.
        content: its fingerprint.
        outcomes: how saving it ended on each rank.
    """

    place: str
    content: Mapping[str, str]
    outcomes: Mapping[int, Outcome]

    @property
    def usable(self) -> bool:
        return all(one.kind == "returned" for one in self.outcomes.values())


@dataclass
class _Course:
    """What a running case gathers."""

    outcomes: dict[int, Outcome] = field(default_factory=dict)
    loaded: dict[int, tuple[str, ...]] = field(default_factory=dict)
    storage: StorageEvidence | None = None
    retry: dict[int, Outcome] | None = None
    retry_loaded: dict[int, tuple[str, ...]] = field(default_factory=dict)


class Rig:
    """Runs cases. Use it as a context manager: it owns a temporary directory.

    Args:
        root: directory to work in; a temporary one by default.
        register: known findings; by default those that ship with the harness.
    """

    def __init__(self, root: Path | None = None, register: Register | None = None) -> None:
        self._root = Path(tempfile.mkdtemp(prefix="ckpt-harness-")) if root is None else root
        self._owned = root is None
        self.register = Register.shipped() if register is None else register
        self._traces: dict[Case, Trace] = {}
        self._committed: dict[tuple[str, str, int, bool], _Previous] = {}

    def __enter__(self) -> Rig:  # noqa: PYI034  (Self is not in typing before Python 3.11)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Removes what the rig stored."""
        for key in list(self._committed):
            self._forget(key)
        if self._owned:
            shutil.rmtree(self._root, ignore_errors=True)

    def run(self, case: Case) -> CaseResult:
        """Runs a case and judges it.

        Raises:
            PlanError: the plan does not fit; nothing has run.
            UsageError: an unknown name, or a combination that cannot run.
        """
        bound = case.bind()
        expected = forecast(bound, self.trace(case), timeout=TIMEOUT)
        evidence, history = _Run(self, case, expected).observe()
        judgements = self.register.mark(oracles.judge(evidence), case.engine, evidence)
        return CaseResult(case, evidence, tuple(judgements), history)

    def trace(self, case: Case) -> Trace:
        """The fault-free course of a case, run once and remembered."""
        free = case.without_faults()
        if free not in self._traces:
            _, history = _Run(self, free, Forecast((), frozenset())).observe()
            self._traces[free] = Trace.of(history)
        return self._traces[free]

    def previous(self, case: Case) -> _Previous:
        """The committed checkpoint that a case finds, saved once for all cases of its kind."""
        key = (case.engine, case.workload, case.ranks, case.grouped)
        if key not in self._committed:
            engine, kind = find(case.engine), workload(case.workload)
            place = engine.place(self._root, f"previous-{case.workload}-{case.ranks}-{'group' if case.grouped else 'alone'}")

            def save() -> None:
                state = kind.make(context_here(PREVIOUS, case.ranks))
                engine.save(state, engine.make_writer(place), None, place, coordinator=0)

            results = SimulatedWorld(case.ranks, timeout=TIMEOUT, group=case.grouped).run(save)
            outcomes = {result.rank: self.outcome(result) for result in results}
            self._committed[key] = _Previous(place, engine.fingerprint(place), outcomes)
        return self._committed[key]

    def damage(self, case: Case) -> dict[str, str]:
        """What a case changed in the checkpoint it found. A damaged one is replaced before the next case."""
        previous, engine = self.previous(case), find(case.engine)
        now = engine.fingerprint(previous.place)
        changes = [f"{name} is {'gone' if name not in now else 'changed'}" for name in previous.content if now.get(name) != previous.content[name]]
        changes += [f"{name} is new" for name in now if name not in previous.content]
        if changes:
            self._forget((case.engine, case.workload, case.ranks, case.grouped))
        return {"previous": ", ".join(changes)} if changes else {}

    def _forget(self, key: tuple[str, str, int, bool]) -> None:
        find(key[0]).discard(self._committed.pop(key).place)

    def new_place(self, case: Case) -> str:
        """Where the case's own checkpoint goes."""
        return find(case.engine).place(self._root, "attempt")

    def outcome(self, result: RankResult) -> Outcome:
        """A world's result for a rank, as the oracles want it."""
        where = str(result.wait) if result.wait is not None else ""
        return Outcome(result.outcome, self.scrub(result.record), where, result.finished_at)

    def scrub(self, record: ErrorRecord | None) -> ErrorRecord | None:
        """An error without the path of this rig's directory, so that the same case reads the same everywhere."""
        if record is None:
            return None
        root = str(self._root)
        failures = None if record.failures is None else {rank: self.scrub(one) or one for rank, one in record.failures.items()}
        args = tuple(text.replace(root, "<root>") for text in record.args)
        return dataclasses.replace(record, message=record.message.replace(root, "<root>"), args=args, failures=failures)

    def read_back(self, case: Case, place: str, save: int, ranks: int) -> tuple[str, ...]:
        """Loads a checkpoint in fresh ranks.

        Args:
            case: whose engine and workload.
            place: where the checkpoint is.
            save: number of the save that it must hold.
            ranks: how many ranks load it.

        Returns:
            What came back wrong, from every rank.
        """
        engine, kind = find(case.engine), workload(case.workload)

        def load() -> list[str]:
            state = kind.make(context_here(None, case.ranks))
            engine.load(state, engine.make_reader(place), None, place, coordinator=0)
            return kind.mismatches(state, context_here(save, case.ranks))

        results = SimulatedWorld(ranks, timeout=TIMEOUT, group=case.grouped).run(load)
        wrong = [f"rank {one.rank} {self.outcome(one)}" for one in results if one.outcome != "returned"]
        wrong += [f"rank {one.rank}: {text}" for one in results if one.outcome == "returned" for text in one.value]
        return tuple(wrong)


class _Run:
    """One run of one case."""

    def __init__(self, rig: Rig, case: Case, expected: Forecast) -> None:
        self._rig, self._case, self._expected = rig, case, expected
        self._engine: Engine = find(case.engine)
        self._kind: Workload = workload(case.workload)
        self._history = History()
        self._injector = Injector(case.plan, coordinator=case.coordinator, history=self._history)
        self._previous = rig.previous(case)
        self._saves = case.operation != "load"
        self._place = rig.new_place(case) if self._saves else self._previous.place
        self._course = _Course()
        self._seen: _Course | None = None

    def observe(self) -> tuple[Evidence, History]:
        """Runs the case; returns what was seen, unjudged, and the history."""
        case = self._case
        if not self._previous.usable:
            return self._unprepared(), self._history
        stalls = any(one.kind is Kind.STALLS for one in self._expected.expectations)
        on_deadlock: Literal["end", "time_out"] = "time_out" if stalls else "end"
        self._world: World = SimulatedWorld(case.ranks, seed=case.seed, timeout=TIMEOUT, on_deadlock=on_deadlock, group=case.grouped)
        try:
            self._world.run(self._rank, faults=self._injector, judge=self._look)
            return self._evidence(), self._history
        finally:
            if self._saves:
                self._engine.discard(self._place)

    def _unprepared(self) -> Evidence:
        """The engine cannot even save when nothing goes wrong."""
        ranks = tuple(range(self._case.ranks))
        expected = Expectation("preparation", ranks, Kind.SUCCEEDS)
        return Evidence(Forecast((expected,), frozenset()), {"preparation": self._previous.outcomes}, timeout=TIMEOUT)

    # -- on each rank

    def _rank(self) -> None:
        """What each rank does: the operation, and if it failed everywhere, the same again with the faults healed."""
        course, rank = self._course, self._injector.rank()
        storage = self._faulty_storage()
        course.outcomes[rank] = self._attempt(storage, ATTEMPT, course.loaded)
        if not self._case.retry:
            return
        # Nobody tries again before all have ended, or a rank's retry could stand in for the attempt that its peers still wait for.
        self._world.meet(self._meet)
        if course.retry is not None:
            self._injector.heal()
            course.retry[rank] = self._attempt(storage, RETRY, course.retry_loaded)

    def _meet(self) -> None:
        """All ranks have ended: looks at storage before a retry changes it, and decides whether there is one."""
        self._course.storage = self._storage()
        owed = any(one.kind is Kind.FAILS for one in self._expected.expectations)  # a group that lost a rank or timed out owes nothing more
        failed = all(one.kind == "raised" for one in self._course.outcomes.values())
        if owed and failed and not self._course.storage.committed:  # a commit whose acknowledgement was lost is to be read back, not overwritten
            self._course.retry = {}

    def _faulty_storage(self) -> Any:
        if self._saves:
            return FaultyStorageWriter.sharing(self._engine.make_writer(self._place), self._injector)
        return FaultyStorageReader.sharing(self._engine.make_reader(self._place), self._injector)

    def _attempt(self, storage: Any, save: int, loaded: dict[int, tuple[str, ...]]) -> Outcome:
        """One operation of the calling rank."""
        plain = self._kind.make(context_here(save if self._saves else None, self._case.ranks))
        if self._case.coordinator:  # DCP calls a Stateful with coordinator 0 only; with others, its users call it themselves
            plain = {key: value.state_dict() if is_stateful(value) else value for key, value in plain.items()}
        state = {key: FaultyStateful.sharing(value, self._injector) if is_stateful(value) else value for key, value in plain.items()}
        try:
            with self._injector.operation(self._case.operation):
                self._act(state, storage)
        except BaseException as error:  # whatever an engine raises is the outcome
            if self._seen is not None:
                raise  # the world is over, and this is how it ends the rank
            return Outcome("raised", self._rig.scrub(ErrorRecord.of(error)), finished_at=current().now())
        if not self._saves:
            result = {key: plain[key] if is_stateful(plain[key]) else value for key, value in state.items()}
            loaded[self._injector.rank()] = tuple(self._kind.mismatches(result, context_here(PREVIOUS, self._case.ranks)))
        return Outcome("returned", finished_at=current().now())

    def _act(self, state: State, storage: Any) -> None:
        coordinator = self._case.coordinator
        if self._case.operation == "load":
            planner = FaultyLoadPlanner.sharing(self._engine.make_load_planner(), self._injector)
            self._engine.load(state, storage, planner, self._place, coordinator=coordinator)
            return
        save_planner = FaultySavePlanner.sharing(self._engine.make_save_planner(), self._injector)
        if self._case.operation == "async_save":
            self._engine.async_save(state, storage, save_planner, self._place).result()
        else:
            self._engine.save(state, storage, save_planner, self._place, coordinator=coordinator)

    # -- afterwards

    def _look(self, results: Sequence[RankResult]) -> None:
        """The world has ended; hung and dead ranks are still as they were."""
        self._injector.history = None  # what they do while they are unwound never happened
        course = self._course
        outcomes, retry = dict(course.outcomes), None if course.retry is None else dict(course.retry)
        for result in results:
            if result.rank not in outcomes:
                outcomes[result.rank] = self._rig.outcome(result)
            elif retry is not None and result.rank not in retry:
                retry[result.rank] = self._rig.outcome(result)
        storage = self._storage() if course.storage is None else course.storage
        self._seen = dataclasses.replace(course, outcomes=outcomes, retry=retry, storage=storage, loaded=dict(course.loaded))

    def _storage(self) -> StorageEvidence:
        events = [event for event in self._history if event.site == "writer.finish"]
        late = {str(fault) for fault in self._case.plan if fault.after}
        acted = any(event.kind in ("exit", "raised") or (event.kind == "fault" and event.detail in late) for event in events)
        committed = self._engine.committed(self._place) if self._saves else None
        return StorageEvidence(committed, acted, self._rig.damage(self._case))

    def _evidence(self) -> Evidence:
        course, case = self._seen, self._case
        assert course is not None and course.storage is not None, "the world shows its results before it returns"
        operation = f"{case.operation}[1]"
        retry_wrong: tuple[str, ...] = tuple(text for texts in course.retry_loaded.values() for text in texts)
        storage = course.storage
        if self._saves and course.retry is None and storage.committed:
            sizes = (case.ranks, 1 if case.ranks > 1 else 2) if case.grouped else (1,)
            wrong = {f"{size} rank(s)": self._rig.read_back(case, self._place, ATTEMPT, size) for size in sizes}
            storage = dataclasses.replace(storage, mismatches=wrong)
        elif self._saves and course.retry is not None and all(one.kind == "returned" for one in course.retry.values()):
            retry_wrong = self._rig.read_back(case, self._place, RETRY, case.ranks)
        return Evidence(
            forecast=self._expected,
            outcomes={operation: course.outcomes},
            fired=frozenset((firing.fault, firing.rank) for firing in self._injector.fired),
            optional=frozenset(str(fault) for fault in case.plan if fault.optional),
            storage={operation: storage},
            loaded={operation: course.loaded} if not self._saves else {},
            retry=course.retry,
            retry_mismatches=retry_wrong,
            internal_errors=tuple(self._injector.internal_errors),
            timeout=TIMEOUT,
            capabilities=self._engine.capabilities,
            protocol=self._engine.protocol if case.grouped else DCP_ALONE,
            history=self._history,
        )
