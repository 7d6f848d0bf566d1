"""Runs a case: set up, act under the plan, heal and try again, read back, judge.

A :class:`Rig` owns what cases run on: a directory, the checkpoints that were committed before anything went wrong, and the fault-free courses that
the model needs. It is reused from case to case, since making those anew would be most of a case's cost.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from harness import oracles
from harness._inject import Injector
from harness.attempt import ATTEMPT, PREVIOUS, RETRY, Attempt, Wrong, in_process
from harness.case import Case, CaseResult
from harness.engines.base import Call, Engine, find
from harness.expectation import Expectation, Forecast, Kind, forecast
from harness.findings.register import Register
from harness.history import ErrorRecord, History
from harness.oracles import Evidence, Outcome, StorageEvidence
from harness.protocol import DCP_ALONE
from harness.trace import Trace
from harness.workload import context_here, workload
from harness.worlds.base import RankResult, World
from harness.worlds.processes import ProcessWorld, shared
from harness.worlds.processes.forkserver import Forkserver
from harness.worlds.simulated import SimulatedWorld

TIMEOUT = 1800.0
"""Virtual seconds that a collective of a case waits; torch's default for gloo."""
PROCESS_TIMEOUT = 20.0
"""Real seconds, where ranks are processes. Verdicts do not wait for it, but a rank that is late beyond it is waited for as long."""


def timeout_of(case: Case) -> float:
    """Seconds that a collective of a case waits, in the time of its world."""
    return PROCESS_TIMEOUT if case.world == "processes" else TIMEOUT


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
        self._keeper: Forkserver | None = None
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
        expected = forecast(bound, self.trace(case), timeout=timeout_of(case))
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
                engine.save(state, engine.make_writer(place), None, place, Call())

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

    def share_fate_with_ranks(self) -> None:
        """Has the forkserver remove this rig's directory too, should this process be killed."""
        server = shared().server()
        if self._owned and self._keeper is not server:
            server.adopt(str(self._root))
            self._keeper = server

    def outcome(self, result: RankResult) -> Outcome:
        """A world's result for a rank, as the oracles want it."""
        where = str(result.wait) if result.wait is not None else ""
        return Outcome(result.outcome, self.scrub(result.record), where, result.finished_at)

    def scrubbed(self, outcome: Outcome) -> Outcome:
        """The outcome with its error scrubbed."""
        return dataclasses.replace(outcome, error=self.scrub(outcome.error))

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
            engine.load(state, engine.make_reader(place), None, place, Call())
            return kind.mismatches(state, context_here(save, case.ranks))

        results = SimulatedWorld(ranks, timeout=TIMEOUT, group=case.grouped).run(load)
        wrong = [f"rank {one.rank} {self.outcome(one)}" for one in results if one.outcome != "returned"]
        wrong += [f"rank {one.rank}: {text}" for one in results if one.outcome == "returned" for text in one.value]
        return tuple(wrong)


class _Run:
    """One run of one case. It is the :class:`harness.attempt.Course` of its ranks, or the far end of theirs."""

    def __init__(self, rig: Rig, case: Case, expected: Forecast) -> None:
        self._rig, self._case, self._expected = rig, case, expected
        self._engine: Engine = find(case.engine)
        self._history = History()
        self._previous = rig.previous(case)
        self._saves = case.operation != "load"
        self._place = rig.new_place(case) if self._saves else self._previous.place
        self._course = _Course()
        self._seen: _Course | None = None

    def observe(self) -> tuple[Evidence, History]:
        """Runs the case; returns what was seen, unjudged, and the history."""
        if not self._previous.usable:
            return self._unprepared(), self._history
        attempt = Attempt(self._case, self._place)
        try:
            if self._case.world == "processes":
                return self._in_processes(attempt), self._history
            return self._simulated(attempt), self._history
        finally:
            if self._saves:
                self._engine.discard(self._place)

    def _unprepared(self) -> Evidence:
        """The engine cannot even save when nothing goes wrong."""
        ranks = tuple(range(self._case.ranks))
        expected = Expectation("preparation", ranks, Kind.SUCCEEDS)
        return Evidence(Forecast((expected,), frozenset()), {"preparation": self._previous.outcomes}, timeout=TIMEOUT)

    def _simulated(self, attempt: Attempt) -> Evidence:
        """All ranks share this process, and one injector."""
        case = self._case
        stalls = any(one.kind is Kind.STALLS for one in self._expected.expectations)
        on_deadlock: Literal["end", "time_out"] = "time_out" if stalls else "end"
        injector = Injector(case.plan, coordinator=case.coordinator, history=self._history)
        self._world: World = SimulatedWorld(case.ranks, seed=case.seed, timeout=TIMEOUT, on_deadlock=on_deadlock, group=case.grouped)

        def look(results: Sequence[RankResult]) -> None:
            injector.history = None  # what ranks do while they are unwound never happened
            self._look(results)

        self._world.run(lambda: attempt.run(injector, self), faults=injector, judge=look)
        return self._evidence({(firing.fault, firing.rank) for firing in injector.fired}, injector.internal_errors)

    def _in_processes(self, attempt: Attempt) -> Evidence:
        """Each rank has an injector of its own, and reports all that happens to it."""
        case = self._case
        self._rig.share_fate_with_ranks()
        world = ProcessWorld(case.ranks, timeout=PROCESS_TIMEOUT, group=case.grouped)
        world.run(in_process, attempt, judge=self._look, hear=self._history.append, answer=self._answer)
        self._history.events.sort(key=lambda event: event.time)  # heard rank by rank; on one machine, clocks agree on what came before what
        fired = {(event.detail, event.rank) for event in self._history.of_kind("fault")}
        return self._evidence(fired, [event.detail for event in self._history.of_kind("internal")])

    # -- the course of a case, as its ranks tell it

    def ended(self, rank: int, outcome: Outcome, wrong: Wrong | None) -> None:
        """See :class:`harness.attempt.Course`, as for the other three."""
        self._course.outcomes[rank] = self._rig.scrubbed(outcome)
        if wrong is not None:
            self._course.loaded[rank] = wrong

    def retries(self) -> bool:
        self._world.meet(self._met)
        return self._course.retry is not None

    def retried(self, rank: int, outcome: Outcome, wrong: Wrong | None) -> None:
        assert self._course.retry is not None, "ranks try again when told so"
        self._course.retry[rank] = self._rig.scrubbed(outcome)
        if wrong is not None:
            self._course.retry_loaded[rank] = wrong

    def over(self) -> bool:
        return self._seen is not None

    def _answer(self, rank: int, asked: Any) -> Any:
        """The far end of a :class:`harness.attempt.Distant`."""
        name, *args = asked
        methods: dict[str, Callable[..., Any]] = {"ended": self.ended, "met": self._met, "again": self._again, "retried": self.retried}
        return methods[name](*args)

    def _again(self) -> bool:
        return self._course.retry is not None

    def _met(self) -> None:
        """All ranks have ended: looks at storage before a retry changes it, and decides whether there is one."""
        self._course.storage = self._storage()
        owed = any(one.kind is Kind.FAILS for one in self._expected.expectations)  # a group that lost a rank or timed out owes nothing more
        failed = all(one.kind == "raised" for one in self._course.outcomes.values())
        if owed and failed and not self._course.storage.committed:  # a commit whose acknowledgement was lost is to be read back, not overwritten
            self._course.retry = {}

    # -- afterwards

    def _look(self, results: Sequence[RankResult]) -> None:
        """The world has ended; hung and dead ranks are still as they were."""
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

    def _evidence(self, fired: Iterable[tuple[str, int]], internal_errors: Iterable[str]) -> Evidence:
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
            fired=frozenset(fired),
            optional=frozenset(str(fault) for fault in case.plan if fault.optional),
            storage={operation: storage},
            loaded={operation: course.loaded} if not self._saves else {},
            retry=course.retry,
            retry_mismatches=retry_wrong,
            internal_errors=tuple(internal_errors),
            timeout=timeout_of(case),
            capabilities=self._engine.capabilities,
            protocol=self._engine.protocol if case.grouped else DCP_ALONE,
            history=self._history,
        )
