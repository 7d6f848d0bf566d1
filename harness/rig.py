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
from harness.attempt import ATTEMPT, PREVIOUS, RETRY, Attempt, Wrong, coordinators, in_process
from harness.case import Case, CaseResult
from harness.engines.base import Call, Engine, find
from harness.expectation import Expectation, Forecast, Kind, forecast
from harness.findings.register import Register
from harness.history import ErrorRecord, History
from harness.joining import joined
from harness.oracles import Evidence, Outcome, StorageEvidence
from harness.protocol import Group
from harness.runtime import current
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
    """The checkpoints that were committed before the case, one a group.

    Attributes:
        places: where.
        contents: their fingerprints.
        outcomes: how saving it ended on each rank.
    """

    places: tuple[str, ...]
    contents: tuple[Mapping[str, str], ...]
    outcomes: Mapping[int, Outcome]

    @property
    def usable(self) -> bool:
        return all(one.kind == "returned" for one in self.outcomes.values())


@dataclass
class _Course:
    """What a running case gathers.

    Attributes:
        outcomes: how the operation ended on each rank that took part.
        loaded: what came back wrong on ranks that loaded.
        storage: what each group has left; None before it was looked at.
        again: the ranks that try again.
        retry: how that ended; None if nobody does.
        retry_loaded: like ``loaded``.
    """

    outcomes: dict[int, Outcome] = field(default_factory=dict)
    loaded: dict[int, tuple[str, ...]] = field(default_factory=dict)
    storage: tuple[StorageEvidence, ...] | None = None
    again: frozenset[int] = frozenset()
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
        self._committed: dict[tuple[str, str, int, str, str], _Previous] = {}

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
        """The committed checkpoints that a case finds, saved once for all cases of its kind."""
        key = _kind(case)
        if key not in self._committed:
            engine, kind = find(case.engine), workload(case.workload)
            name = f"previous-{case.workload}-{case.ranks}-{case.way}-{case.planner}"
            places = tuple(engine.place(self._root, f"{name}-{number}") for number in range(len(case.groups())))

            def save() -> None:
                with joined(dataclasses.replace(case, coordinator=0), current().rank(), TIMEOUT) as part:
                    if part is not None:
                        place = places[part.number]
                        planner = engine.make_save_planner(case.planner)
                        engine.save(kind.make(part.context(PREVIOUS)), engine.make_writer(place), planner, place, part.call)

            results = SimulatedWorld(case.ranks, timeout=TIMEOUT, group=case.how.process_group != "none").run(save)
            outcomes = {result.rank: self.outcome(result) for result in results}
            self._committed[key] = _Previous(places, tuple(engine.fingerprint(place) for place in places), outcomes)
        return self._committed[key]

    def damage(self, case: Case) -> list[dict[str, str]]:
        """What a case changed in the checkpoint that each group found. Damaged ones are replaced before the next case."""
        previous, engine = self.previous(case), find(case.engine)
        found = [_changes(before, engine.fingerprint(place)) for place, before in zip(previous.places, previous.contents, strict=True)]
        if any(found):
            self._forget(_kind(case))
        return [{"previous": ", ".join(changes)} if changes else {} for changes in found]

    def _forget(self, key: tuple[str, str, int, str, str]) -> None:
        for place in self._committed.pop(key).places:
            find(key[0]).discard(place)

    def new_places(self, case: Case) -> tuple[str, ...]:
        """Where each group's own checkpoint goes."""
        engine = find(case.engine)
        return tuple(engine.place(self._root, f"attempt-{number}") for number in range(len(case.groups())))

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

    def read_back(self, case: Case, number: int, place: str, save: int, ranks: int) -> tuple[str, ...]:
        """Loads a checkpoint in fresh ranks.

        Args:
            case: whose engine and workload.
            number: which of its groups saved it.
            place: where the checkpoint is.
            save: number of the save that it must hold.
            ranks: how many ranks load it, together; for a checkpoint that a rank saved alone, one does. What was saved without collectives can be
                asked for by as many ranks as saved it only: DCP leaves holes otherwise, and reports success.

        Returns:
            What came back wrong, from every rank.
        """
        engine, kind = find(case.engine), workload(case.workload)
        shards = len(case.groups()[number].ranks)

        def load() -> list[str]:
            owner = number if case.how.use_collectives else current().rank()
            state = kind.make(context_here(None, shards, owner=owner))
            engine.load(state, engine.make_reader(place), engine.make_load_planner(case.planner), place, Call())
            return kind.mismatches(state, context_here(save, shards, owner=owner))

        results = SimulatedWorld(ranks, timeout=TIMEOUT, group=not case.how.alone).run(load)
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
        self._groups = case.groups()
        self._places = rig.new_places(case) if self._saves else self._previous.places
        self._course = _Course()
        self._seen: _Course | None = None

    def observe(self) -> tuple[Evidence, History]:
        """Runs the case; returns what was seen, unjudged, and the history."""
        if not self._previous.usable:
            return self._unprepared(), self._history
        attempt = Attempt(self._case, self._places, timeout_of(self._case))
        try:
            if self._case.world == "processes":
                return self._in_processes(attempt), self._history
            return self._simulated(attempt), self._history
        finally:
            for place in self._places if self._saves else ():
                self._engine.discard(place)

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
        injector = Injector(case.plan, coordinators=coordinators(case), history=self._history)
        self._world: World = SimulatedWorld(
            case.ranks, seed=case.seed, timeout=TIMEOUT, on_deadlock=on_deadlock, group=case.how.process_group != "none"
        )

        def look(results: Sequence[RankResult]) -> None:
            injector.history = None  # what ranks do while they are unwound never happened
            self._look(results)

        self._world.run(lambda: attempt.run(injector, self), faults=injector, judge=look)
        return self._evidence({(firing.fault, firing.rank) for firing in injector.fired}, injector.internal_errors)

    def _in_processes(self, attempt: Attempt) -> Evidence:
        """Each rank has an injector of its own, and reports all that happens to it."""
        case = self._case
        self._rig.share_fate_with_ranks()
        world = ProcessWorld(case.ranks, timeout=PROCESS_TIMEOUT, group=case.how.process_group != "none")
        world.run(in_process, attempt, judge=self._look, hear=self._history.append, answer=self._answer)
        self._history.events.sort(key=lambda event: event.time)  # heard rank by rank; on one machine, clocks agree on what came before what
        fired = {(event.detail, event.rank) for event in self._history.of_kind("fault")}
        return self._evidence(fired, [event.detail for event in self._history.of_kind("internal")])

    # -- the course of a case, as its ranks tell it

    def ended(self, rank: int, outcome: Outcome, wrong: Wrong | None) -> None:
        """See :class:`harness.attempt.Course`, as for the others."""
        self._course.outcomes[rank] = self._rig.scrubbed(outcome)
        if wrong is not None:
            self._course.loaded[rank] = wrong

    def retries(self, rank: int) -> bool:
        self._world.meet(self._met)
        return self._again(rank)

    def retried(self, rank: int, outcome: Outcome, wrong: Wrong | None) -> None:
        assert self._course.retry is not None, "ranks try again when told so"
        self._course.retry[rank] = self._rig.scrubbed(outcome)
        if wrong is not None:
            self._course.retry_loaded[rank] = wrong

    def leaves(self) -> None:
        self._world.meet(lambda: None)

    def over(self) -> bool:
        return self._seen is not None

    def _answer(self, rank: int, asked: Any) -> Any:
        """The far end of a :class:`harness.attempt.Distant`."""
        name, *args = asked
        methods: dict[str, Callable[..., Any]] = {"ended": self.ended, "met": self._met, "again": self._again, "retried": self.retried}
        return methods[name](*args)

    def _again(self, rank: int) -> bool:
        return rank in self._course.again

    def _met(self) -> None:
        """All ranks have ended: looks at storage before a retry changes it, and decides who tries again."""
        course, owed = self._course, {one.ranks: one.kind for one in self._expected.expectations}
        course.storage = self._storage()
        for group, storage in zip(self._groups, course.storage, strict=True):
            failed = all(course.outcomes[rank].kind == "raised" for rank in group.ranks)
            # A group that lost a rank or timed out owes nothing more, and a commit whose acknowledgement was lost is to be read back, not overwritten.
            if owed.get(group.ranks) is Kind.FAILS and failed and not storage.committed:
                course.again |= frozenset(group.ranks)
        if course.again:
            course.retry = {}

    # -- afterwards

    def _look(self, results: Sequence[RankResult]) -> None:
        """The world has ended; hung and dead ranks are still as they were."""
        course = self._course
        outcomes, retry = dict(course.outcomes), None if course.retry is None else dict(course.retry)
        part = {rank for group in self._groups for rank in group.ranks}
        for result in results:
            if result.rank in part and result.rank not in outcomes:
                outcomes[result.rank] = self._rig.outcome(result)
            elif retry is not None and result.rank in course.again and result.rank not in retry:
                retry[result.rank] = self._rig.outcome(result)
        storage = self._storage() if course.storage is None else course.storage
        self._seen = dataclasses.replace(course, outcomes=outcomes, retry=retry, storage=storage, loaded=dict(course.loaded))

    def _storage(self) -> tuple[StorageEvidence, ...]:
        found = zip(self._groups, self._places, self._rig.damage(self._case), strict=True)
        return tuple(self._storage_of(group, place, damage) for group, place, damage in found)

    def _storage_of(self, group: Group, place: str, damage: Mapping[str, str]) -> StorageEvidence:
        events = [event for event in self._history if event.site == "writer.finish" and event.rank in group.ranks]
        late = {str(fault) for fault in self._case.plan if fault.after}
        acted = {event.rank for event in events if event.kind in ("exit", "raised") or (event.kind == "fault" and event.detail in late)}
        apart = 0 if self._case.how.use_collectives else len(group.ranks)
        committed = self._engine.committed(place, apart) if self._saves else None
        return StorageEvidence(committed, len(acted) >= max(1, apart), damage, ranks=group.ranks)

    def _read_back(self, number: int, storage: StorageEvidence) -> tuple[StorageEvidence, tuple[str, ...]]:
        """What loading a group's checkpoint gives: of the attempt, as part of its evidence, or of the retry, beside it."""
        course, case, ranks, place = self._seen, self._case, storage.ranks, self._places[number]
        assert course is not None, "what was stored is read when the world has ended"
        size = len(ranks)
        if course.again.isdisjoint(ranks) and storage.committed:
            sizes = (1,) if case.how.alone else (size, 1 if size > 1 else 2) if case.how.use_collectives else (size,)
            wrong = {f"{one} rank(s)": self._rig.read_back(case, number, place, ATTEMPT, one) for one in sizes}
            return dataclasses.replace(storage, mismatches=wrong), ()
        if course.again.issuperset(ranks) and all(course.retry is not None and course.retry[rank].kind == "returned" for rank in ranks):
            return storage, self._rig.read_back(case, number, place, RETRY, size)
        return storage, ()

    def _evidence(self, fired: Iterable[tuple[str, int]], internal_errors: Iterable[str]) -> Evidence:
        course, case = self._seen, self._case
        assert course is not None and course.storage is not None, "the world shows its results before it returns"
        operation = f"{case.operation}[1]"
        storage, retry_wrong = course.storage, [text for texts in course.retry_loaded.values() for text in texts]
        if self._saves:
            read = [self._read_back(number, one) for number, one in enumerate(storage)]
            storage = tuple(one for one, _ in read)
            retry_wrong += [text for _, texts in read for text in texts]
        return Evidence(
            forecast=self._expected,
            outcomes={operation: course.outcomes},
            fired=frozenset(fired),
            optional=frozenset(str(fault) for fault in case.plan if fault.optional),
            storage={operation: storage},
            loaded={operation: course.loaded} if not self._saves else {},
            retry=course.retry,
            retry_mismatches=tuple(retry_wrong),
            internal_errors=tuple(internal_errors),
            timeout=timeout_of(case),
            capabilities=self._engine.capabilities,
            protocol=case.how.protocol(self._engine.protocol, case.operation),
            way=case.way,
            planner=case.planner,
            history=self._history,
        )


def _kind(case: Case) -> tuple[str, str, int, str, str]:
    """What cases that find the same checkpoints have in common."""
    return case.engine, case.workload, case.ranks, case.way, case.planner


def _changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """How two fingerprints of a place differ."""
    changes = [f"{name} is {'gone' if name not in now else 'changed'}" for name in before if now.get(name) != before[name]]
    return changes + [f"{name} is new" for name in now if name not in before]
