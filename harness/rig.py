"""Runs a case: set up, act under the plan, heal and try again, read back, judge.

A :class:`Rig` owns what cases run on: a directory, the checkpoints that were committed before anything went wrong, and the fault-free courses that
the model needs. It is reused from case to case, since making those anew would be most of a case's cost.
"""

from __future__ import annotations

import dataclasses
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, NamedTuple

from harness import oracles
from harness._inject import Injector
from harness.attempt import ATTEMPT, PREVIOUS, RETRY, SECOND, Attempt, Ending, in_process, surroundings
from harness.background import LATER
from harness.case import Case, CaseResult
from harness.engines.base import Call, Engine, find
from harness.expectation import Expectation, Forecast, Kind, forecast
from harness.findings.register import Register
from harness.history import ErrorRecord, Event, History
from harness.oracles import Evidence, Outcome, StorageEvidence
from harness.protocol import DCP_ALONE
from harness.trace import Trace
from harness.workload import context_here, workload
from harness.worlds.attached import AttachedWorld, check_shared
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
    return TIMEOUT if case.world == "simulated" else PROCESS_TIMEOUT


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
    """What a running case gathers. Operation -> rank -> how it ended there; ``met`` is what was on storage once all had."""

    endings: dict[str, dict[int, Ending]] = field(default_factory=dict)
    retry: dict[int, list[Ending]] | None = None
    met: dict[str, StorageEvidence] | None = None
    written: dict[str, Mapping[str, str]] = field(default_factory=dict)


class _Recording(History):
    """A history that ends with the world: what ranks do while they are unwound never happened."""

    over = False

    def append(self, event: Event) -> None:
        if not self.over:
            super().append(event)


@dataclass(frozen=True)
class _Seen:
    """What was there when the world ended, and nothing had been cleaned away."""

    outcomes: Mapping[str, Mapping[int, Outcome]]
    retry: Mapping[int, Outcome] | None
    storage: Mapping[str, StorageEvidence]
    left: tuple[str, ...]


class Loaded(NamedTuple):
    """What a checkpoint holds that is wrong.

    Attributes:
        wrong: one text for each entry that differs from what was saved.
        later: names of entries that hold what the state was overwritten with after staging; not among ``wrong``.
    """

    wrong: tuple[str, ...]
    later: tuple[str, ...]


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
        self._shared = False
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

    def new_place(self, case: Case, operation: str) -> str:
        """Where a checkpoint of the case's own goes."""
        return find(case.engine).place(self._root, "attempt" if operation.endswith("[1]") else "attempt-2")

    def share_fate_with_ranks(self) -> None:
        """Has the forkserver remove this rig's directory too, should this process be killed."""
        server = shared().server()
        if self._owned and self._keeper is not server:
            server.adopt(str(self._root))
            self._keeper = server

    def share_storage_with_hosts(self) -> None:
        """Makes sure that all hosts of a launcher see this rig's directory: rank 0 judges what the others store.

        Raises:
            UsageError: some do not.
        """
        if not self._shared:
            check_shared(self._root)
            self._shared = True

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

    def read_back(self, case: Case, place: str, save: int, ranks: int) -> Loaded:
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

        def load() -> tuple[list[str], list[str]]:
            state = kind.make(context_here(None, case.ranks))
            engine.load(state, engine.make_reader(place), None, place, Call())
            later = kind.shared(state, context_here(LATER, case.ranks)) if case.operation == "async_save" else []
            wrong = kind.mismatches(state, context_here(save, case.ranks))
            return [text for text in wrong if not text.startswith(tuple(f"{name}:" for name in later))], later

        results = SimulatedWorld(ranks, timeout=TIMEOUT, group=case.grouped).run(load)
        wrong = [f"rank {one.rank} {self.outcome(one)}" for one in results if one.outcome != "returned"]
        wrong += [f"rank {one.rank}: {text}" for one in results if one.outcome == "returned" for text in one.value[0]]
        later = {name for one in results if one.outcome == "returned" for name in one.value[1]}
        return Loaded(tuple(wrong), tuple(sorted(later)))


class _Run:
    """One run of one case. It is the :class:`harness.attempt.Course` of its ranks, or the far end of theirs."""

    def __init__(self, rig: Rig, case: Case, expected: Forecast) -> None:
        self._rig, self._case, self._expected = rig, case, expected
        self._engine: Engine = find(case.engine)
        self._history = _Recording()
        self._previous = rig.previous(case)
        self._saves = case.operation != "load"
        self._places = {name: rig.new_place(case, name) if self._saves else self._previous.place for name in case.operations}
        self._course = _Course()
        self._seen: _Seen | None = None

    def observe(self) -> tuple[Evidence, History]:
        """Runs the case; returns what was seen, unjudged, and the history."""
        if not self._previous.usable:
            return self._unprepared(), self._history
        attempt = Attempt(self._case, tuple(self._places.values()))
        try:
            if self._case.world != "simulated":
                return self._in_processes(attempt), self._history
            return self._simulated(attempt), self._history
        finally:
            if self._saves:
                for place in self._places.values():
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
        injector = Injector(case.plan, coordinator=case.coordinator, history=self._history)
        self._world: World = SimulatedWorld(case.ranks, seed=case.seed, timeout=TIMEOUT, on_deadlock=on_deadlock, group=case.grouped)

        with surroundings(injector):
            self._world.run(lambda: attempt.run(injector, self), faults=injector, judge=self._look)
        return self._evidence({(firing.fault, firing.rank) for firing in injector.fired}, injector.internal_errors)

    def _in_processes(self, attempt: Attempt) -> Evidence:
        """Each rank has an injector of its own, and reports all that happens to it."""
        case = self._case
        world: ProcessWorld | AttachedWorld
        if case.world == "attached":
            self._rig.share_storage_with_hosts()
            world = AttachedWorld(case.ranks, timeout=PROCESS_TIMEOUT, group=case.grouped)
        else:
            self._rig.share_fate_with_ranks()
            world = ProcessWorld(case.ranks, timeout=PROCESS_TIMEOUT, group=case.grouped)
        world.run(in_process, attempt, judge=self._look, hear=self._history.append, answer=self._answer)
        self._history.events.sort(key=lambda event: event.time)  # heard rank by rank; on one machine, clocks agree on what came before what
        fired = {(event.detail, event.rank) for event in self._history.of_kind("fault")}
        return self._evidence(fired, [event.detail for event in self._history.of_kind("internal")])

    # -- the course of a case, as its ranks tell it

    def ended(self, rank: int, ending: Ending) -> None:
        """See :class:`harness.attempt.Course`, as for the other three."""
        self._course.endings.setdefault(ending.operation, {})[rank] = self._scrubbed(ending)

    def retries(self) -> bool:
        self._world.meet(self._met)
        return self._course.retry is not None

    def retried(self, rank: int, ending: Ending) -> None:
        assert self._course.retry is not None, "ranks try again when told so"
        self._course.retry.setdefault(rank, []).append(self._scrubbed(ending))

    def _scrubbed(self, ending: Ending) -> Ending:
        futures = {name: self._rig.scrubbed(one) for name, one in ending.futures.items()}
        return dataclasses.replace(ending, outcome=self._rig.scrubbed(ending.outcome), futures=futures)

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
        course = self._course
        course.met = self._storage()
        owed = any(one.kind is Kind.FAILS for one in self._expected.expectations)  # a group that lost a rank or timed out owes nothing more
        failed = all(one.outcome.kind == "raised" for ranks in course.endings.values() for one in ranks.values())
        # A commit whose acknowledgement was lost is to be read back, not overwritten.
        if self._case.retry and owed and failed and not any(one.committed for one in course.met.values()):
            course.retry = {}
        elif self._saves:
            course.written = {name: self._engine.fingerprint(place) for name, place in self._places.items()}

    # -- afterwards

    def _look(self, results: Sequence[RankResult]) -> None:
        """The world has ended; hung and dead ranks are still as they were."""
        course, outcomes = self._course, {}
        for name in self._case.operations:
            ended = course.endings.get(name, {})
            outcomes[name] = {one.rank: ended[one.rank].outcome if one.rank in ended else self._rig.outcome(one) for one in results}
        retry = None
        if course.retry is not None:
            retry = {one.rank: self._tried_again(course.retry.get(one.rank, ()), one) for one in results}
        self._history.over = True
        self._seen = _Seen(outcomes, retry, self._storage() if course.met is None else course.met, tuple(self._left(results)))

    def _tried_again(self, endings: Sequence[Ending], result: RankResult) -> Outcome:
        """How the second try ended on a rank: its first operation that did not succeed, if any."""
        if len(endings) < len(self._places):
            return self._rig.outcome(result)
        return next((one.outcome for one in endings if one.outcome.kind != "returned"), endings[0].outcome)

    def _left(self, results: Sequence[RankResult]) -> Iterator[str]:
        """What goes on, or lies about, though all operations have ended."""
        for one in results:
            yield from (f"rank {one.rank}: {what}" for what in one.left)
        yield from (f"rank {event.rank}: an error escaped from {event.detail}" for event in self._history.of_kind("escaped"))
        for name, before in self._course.written.items():
            now = self._engine.fingerprint(self._places[name])
            yield from (f"{file} of {name} was written after the operation had ended" for file in now if now[file] != before.get(file))
            if all(one.outcome.kind == "returned" for one in self._course.endings[name].values()):
                yield from (f"temporary file {file} of {name}" for file in now if file.endswith(".tmp"))

    def _storage(self) -> dict[str, StorageEvidence]:
        late = {str(fault) for fault in self._case.plan if fault.after}
        damaged, found = self._rig.damage(self._case), {}
        for name, place in self._places.items():
            events = [event for event in self._history if event.site == "writer.finish" and event.operation == name]
            acted = any(event.kind in ("exit", "raised") or (event.kind == "fault" and event.detail in late) for event in events)
            found[name] = StorageEvidence(self._engine.committed(place) if self._saves else None, acted, damaged)
        return found

    def _evidence(self, fired: Iterable[tuple[str, int]], internal_errors: Iterable[str]) -> Evidence:
        seen, course, case = self._seen, self._course, self._case
        assert seen is not None, "the world shows its results before it returns"
        retried = [ending for endings in (course.retry or {}).values() for ending in endings]
        retry_wrong = tuple(text for ending in retried for text in ending.wrong or ())
        storage = seen.storage
        if self._saves and course.retry is None:
            storage = {name: self._read_back(number, name, storage[name]) for number, name in enumerate(self._places)}
        elif self._saves and seen.retry is not None and all(one.kind == "returned" for one in seen.retry.values()):
            back = [self._rig.read_back(case, place, RETRY + number * SECOND, case.ranks) for number, place in enumerate(self._places.values())]
            retry_wrong = tuple(text for one in back for text in (*one.wrong, *one.later))
        endings = course.endings
        loaded = {name: {rank: one.wrong for rank, one in ranks.items() if one.wrong is not None} for name, ranks in endings.items()}
        return Evidence(
            forecast=self._expected,
            outcomes=seen.outcomes,
            fired=frozenset(fired),
            optional=frozenset(str(fault) for fault in case.plan if fault.optional),
            storage=storage,
            loaded={} if self._saves else loaded,
            futures={name: {rank: one.futures for rank, one in ranks.items() if one.futures} for name, ranks in endings.items()},
            left=seen.left,
            retry=seen.retry,
            retry_mismatches=retry_wrong,
            internal_errors=tuple(internal_errors),
            timeout=timeout_of(case),
            capabilities=self._engine.capabilities,
            protocol=self._engine.protocol if case.grouped else DCP_ALONE,
            history=self._history,
        )

    def _read_back(self, number: int, name: str, storage: StorageEvidence) -> StorageEvidence:
        """What a committed checkpoint holds, loaded on as many ranks as saved it and on another number."""
        if not storage.committed:
            return storage
        case = self._case
        sizes = (case.ranks, 1 if case.ranks > 1 else 2) if case.grouped else (1,)
        back = {f"{size} rank(s)": self._rig.read_back(case, self._places[name], ATTEMPT + number * SECOND, size) for size in sizes}
        later = tuple(sorted({one for loaded in back.values() for one in loaded.later}))
        return dataclasses.replace(storage, mismatches={how: loaded.wrong for how, loaded in back.items()}, later=later)
