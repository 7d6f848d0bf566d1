"""Runs a case: set up, act under the plan, heal and try again, read back, judge.

A :class:`Rig` owns what cases run on: a directory, the checkpoints that were committed before anything went wrong, and the fault-free courses that
the model needs. It is reused from case to case, since making those anew would be most of a case's cost.
"""

from __future__ import annotations

import dataclasses
import itertools
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from ckpt_harness.cases.async_saves import LATER, RankEnding
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.membership import joined
from ckpt_harness.cases.rank_program import ATTEMPT, PREVIOUS, RETRY, SECOND, Attempt, coordinators, in_process, surroundings
from ckpt_harness.cases.read_back import TIMEOUT, Reading, read
from ckpt_harness.cases.result import CaseResult
from ckpt_harness.engines.base import Engine
from ckpt_harness.engines.names import find_engine, known_as
from ckpt_harness.faults.protocol import Capability, Group
from ckpt_harness.faults.sites import SITES
from ckpt_harness.findings.register import Register
from ckpt_harness.history import ErrorRecord, Event, History
from ckpt_harness.injection.injector import Injector
from ckpt_harness.judging import oracles
from ckpt_harness.judging.evidence import Evidence, Outcome, StorageEvidence
from ckpt_harness.judging.expectation import Ending, Expectation, Forecast
from ckpt_harness.judging.model import forecast
from ckpt_harness.judging.trace import Trace
from ckpt_harness.runtime import current
from ckpt_harness.workloads.workload import find_workload
from ckpt_harness.worlds.attached import AttachedWorld, check_shared
from ckpt_harness.worlds.base import RankResult, World
from ckpt_harness.worlds.processes import ProcessWorld, shared
from ckpt_harness.worlds.processes.forkserver import Forkserver
from ckpt_harness.worlds.simulated import SimulatedWorld

PROCESS_TIMEOUT = 20.0
"""Real seconds, where ranks are processes. Verdicts do not wait for it, but a rank that is late beyond it is waited for as long."""


def timeout_of(case: Case) -> float:
    """Seconds that a collective of a case waits, in the time of its world."""
    return TIMEOUT if case.world == "simulated" else PROCESS_TIMEOUT


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
        endings: operation -> how it ended on each rank that took part.
        met: operation -> what each group had left once all had ended; None before it was looked at.
        written: operation -> the fingerprints of those places then.
        again: the ranks that try again.
        retry: how that ended, on each of them.
    """

    endings: dict[str, dict[int, RankEnding]] = field(default_factory=dict)
    met: dict[str, tuple[StorageEvidence, ...]] | None = None
    written: dict[str, list[Mapping[str, str]]] = field(default_factory=dict)
    again: frozenset[int] = frozenset()
    retry: dict[int, list[RankEnding]] = field(default_factory=dict)


class _Recording(History):
    """A history that ends with the world: what ranks do while they are unwound never happened."""

    over = False

    def append(self, event: Event) -> None:
        if not self.over:
            super().append(event)


@dataclass(frozen=True)
class _Seen:
    """What was there when the world ended, and nothing had been cleaned away; as in :class:`ckpt_harness.judging.evidence.Evidence`."""

    outcomes: Mapping[str, Mapping[int, Outcome]]
    retry: Mapping[int, Outcome] | None
    storage: Mapping[str, tuple[StorageEvidence, ...]]
    left: tuple[str, ...]


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
        self._committed: dict[tuple[str, str, int, str, str], _Previous] = {}

    @property
    def root(self) -> Path:
        """The directory that it works in."""
        return self._root

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
        case = bound.case
        expected = forecast(bound.plan, self.trace(case), timeout=timeout_of(case))
        evidence, history = _Run(self, case, expected).observe()
        judgements = oracles.judge(evidence)
        for name in known_as(case.engine):
            judgements = self.register.mark(judgements, name, evidence)
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
            engine = find_engine(case.engine)
            name = re.sub(r"\W+", "-", f"previous-{'-'.join(map(str, key))}")
            places = tuple(engine.place(self._root, f"{name}-{number}") for number in range(len(case.groups())))
            outcomes = self.commit(case, places)
            self._committed[key] = _Previous(places, tuple(engine.fingerprint(place) for place in places), outcomes)
        return self._committed[key]

    def commit(self, case: Case, places: Sequence[str]) -> dict[int, Outcome]:
        """Saves the state of save number :data:`ckpt_harness.cases.rank_program.PREVIOUS`, with nothing going wrong, at a place for each group."""
        engine, workload = find_engine(case.engine), find_workload(case.workload)

        def save() -> None:
            with joined(dataclasses.replace(case, coordinator=0), current().rank(), TIMEOUT) as part:
                if part is not None:
                    place = places[part.number]
                    planner = engine.make_save_planner(case.planner)
                    engine.save(workload.make(part.context(PREVIOUS)), engine.make_writer(place), planner, place, part.call)

        results = SimulatedWorld(case.ranks, timeout=TIMEOUT, group=case.call_style.process_group != "none").run(save)
        return {result.rank: self.outcome(result) for result in results}

    def damage(self, case: Case) -> list[dict[str, str]]:
        """What a case changed in the checkpoint that each group found. Damaged ones are replaced before the next case."""
        previous, engine = self.previous(case), find_engine(case.engine)
        found = [_changes(before, engine.fingerprint(place)) for place, before in zip(previous.places, previous.contents, strict=True)]
        if any(found):
            self._forget(_kind(case))
        return [{"previous": ", ".join(changes)} if changes else {} for changes in found]

    def _forget(self, key: tuple[str, str, int, str, str]) -> None:
        for place in self._committed.pop(key).places:
            find_engine(key[0]).discard(place)

    def new_places(self, case: Case, operation: int) -> tuple[str, ...]:
        """Where each group's own checkpoint of an operation goes."""
        engine = find_engine(case.engine)
        return tuple(engine.place(self._root, f"attempt-{operation}-{number}") for number in range(len(case.groups())))

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
        """An error without the path of this rig's directory or the port of a store, so that the same case reads the same everywhere."""
        if record is None:
            return None
        root = str(self._root)
        failures = None if record.failures is None else {rank: self.scrub(one) or one for rank, one in record.failures.items()}

        def scrubbed(text: str) -> str:
            return re.sub(r"127\.0\.0\.1:\d+", "<store>", text.replace(root, "<root>"))

        return dataclasses.replace(record, message=scrubbed(record.message), args=tuple(map(scrubbed, record.args)), failures=failures)

    def read_back(self, case: Case, number: int, place: str, saves: Sequence[int], ranks: int) -> Reading:
        """Loads a checkpoint in fresh ranks.

        Args:
            case: whose engine and workload.
            number: which of its groups saved it.
            place: where the checkpoint is.
            saves: numbers of the saves that it may hold.
            ranks: how many ranks load it, together; for a checkpoint that a rank saved alone, one does.
        """
        return read(
            find_engine(case.engine),
            find_workload(case.workload),
            place,
            saves=saves,
            ranks=ranks,
            shards=len(case.groups()[number].ranks),
            owner=lambda rank: number if case.call_style.use_collectives else rank,
            group=not case.call_style.alone,
            planner=case.planner,
            later=LATER if case.operation == "async_save" else None,
            told=lambda result: str(self.outcome(result)),
        )


class _Run:
    """One run of one case. It is the :class:`ckpt_harness.cases.rank_program.Progress` of its ranks, or the far end of theirs."""

    def __init__(self, rig: Rig, case: Case, expected: Forecast) -> None:
        self._rig, self._case, self._expected = rig, case, expected
        self._engine: Engine = find_engine(case.engine)
        self._history = _Recording()
        self._previous = rig.previous(case)
        self._saves = case.operation != "load"
        self._groups = case.groups()
        self._places = {
            name: rig.new_places(case, number) if self._saves else self._previous.places for number, name in enumerate(case.operations)
        }
        self._course = _Course()
        self._seen: _Seen | None = None

    def observe(self) -> tuple[Evidence, History]:
        """Runs the case; returns what was seen, unjudged, and the history."""
        if not self._previous.usable:
            return self._unprepared(), self._history
        attempt = Attempt(self._case, tuple(self._places.values()), timeout_of(self._case))
        try:
            for places in self._places.values() if self._case.onto == "checkpoint" else ():
                self._rig.commit(self._case, places)
            if self._case.world != "simulated":
                return self._in_processes(attempt), self._history
            return self._simulated(attempt), self._history
        finally:
            for place in itertools.chain(*self._places.values()) if self._saves else ():
                self._engine.discard(place)

    def _unprepared(self) -> Evidence:
        """The engine cannot even save when nothing goes wrong."""
        ranks = tuple(range(self._case.ranks))
        expected = Expectation("preparation", ranks, Ending.SUCCEEDS)
        return Evidence(Forecast((expected,), frozenset()), {"preparation": self._previous.outcomes}, timeout=TIMEOUT)

    def _simulated(self, attempt: Attempt) -> Evidence:
        """All ranks share this process, and one injector."""
        case = self._case
        stalls = any(one.ending is Ending.STALLS for one in self._expected.expectations)
        on_deadlock: Literal["end", "time_out"] = "time_out" if stalls else "end"
        injector = Injector(case.plan, coordinators=coordinators(case), history=self._history, watch_disk=case.watches_disk, watch_network=case.watches_network)
        self._world: World = SimulatedWorld(
            case.ranks, seed=case.seed, timeout=TIMEOUT, on_deadlock=on_deadlock, group=case.call_style.process_group != "none"
        )

        seen: list[Evidence] = []

        def judge(results: Sequence[RankResult]) -> None:
            self._look(results)
            injector.end_case()
            # What was stored is read before ranks that hang or died are unwound: they would close, and so perhaps publish, what they have open.
            seen.append(self._evidence({(firing.fault, firing.rank) for firing in injector.fired}, injector.internal_errors))

        with surroundings(injector, range(case.ranks)):
            self._world.run(lambda: attempt.run(injector, self), faults=injector, judge=judge)
        return seen[0]

    def _in_processes(self, attempt: Attempt) -> Evidence:
        """Each rank has an injector of its own, and reports all that happens to it."""
        case = self._case
        grouped = case.call_style.process_group != "none"
        world: ProcessWorld | AttachedWorld
        if case.world == "attached":
            self._rig.share_storage_with_hosts()
            world = AttachedWorld(case.ranks, timeout=PROCESS_TIMEOUT, group=grouped)
        else:
            self._rig.share_fate_with_ranks()
            world = ProcessWorld(case.ranks, timeout=PROCESS_TIMEOUT, group=grouped)
        world.run(in_process, attempt, judge=self._look, hear=self._history.append, answer=self._answer)
        self._history.events.sort(key=lambda event: event.time)  # heard rank by rank; on one machine, clocks agree on what came before what
        fired = {(event.detail, event.rank) for event in self._history.of_kind("fault")}
        return self._evidence(fired, [event.detail for event in self._history.of_kind("internal")])

    # -- the course of a case, as its ranks tell it

    def ended(self, rank: int, ending: RankEnding) -> None:
        """See :class:`ckpt_harness.cases.rank_program.Progress`, as for the others."""
        self._course.endings.setdefault(ending.operation, {})[rank] = self._scrubbed(ending)

    def retries(self, rank: int) -> bool:
        self._world.meet(self._met)
        return self._again(rank)

    def retried(self, rank: int, ending: RankEnding) -> None:
        self._course.retry.setdefault(rank, []).append(self._scrubbed(ending))

    def leaves(self) -> None:
        self._world.meet(lambda: None)

    def over(self) -> bool:
        return self._seen is not None

    def _scrubbed(self, ending: RankEnding) -> RankEnding:
        futures = {name: self._rig.scrubbed(one) for name, one in ending.futures.items()}
        return dataclasses.replace(ending, outcome=self._rig.scrubbed(ending.outcome), futures=futures)

    def _answer(self, rank: int, asked: Any) -> Any:
        """The far end of a :class:`ckpt_harness.cases.rank_program.Distant`."""
        name, *args = asked
        methods: dict[str, Callable[..., Any]] = {"ended": self.ended, "met": self._met, "again": self._again, "retried": self.retried}
        return methods[name](*args)

    def _again(self, rank: int) -> bool:
        return rank in self._course.again

    def _met(self) -> None:
        """All ranks have ended: looks at storage before a retry changes it, and decides who tries again."""
        course = self._course
        course.met = self._storage()
        for number, group in enumerate(self._groups):
            if self._case.retry and self._owes_a_retry(group, [found[number] for found in course.met.values()]):
                course.again |= frozenset(group.ranks)
        if self._saves and not course.again:
            course.written = {name: [self._engine.fingerprint(place) for place in places] for name, places in self._places.items()}

    def _owes_a_retry(self, group: Group, left: Sequence[StorageEvidence]) -> bool:
        """Whether a group must succeed if it tries again.

        One that lost a rank or timed out owes nothing more, though all ranks are still there where it was a process of an executor that was lost.
        And a commit whose acknowledgement was lost is to be read back, not overwritten, where commits can be told.
        """
        owed = any(one.ending is Ending.FAILS and one.ranks == group.ranks for one in self._expected.expectations) or self._case.executor == "process"
        failed = all(ended[rank].outcome.kind == "raised" for ended in self._course.endings.values() for rank in group.ranks)
        told = Capability.COMMIT_MARKER in self._engine.capabilities
        return owed and failed and not (told and any(one.committed for one in left))

    # -- afterwards

    def _look(self, results: Sequence[RankResult]) -> None:
        """The world has ended; hung and dead ranks are still as they were."""
        course, outcomes = self._course, {}
        part = {rank for group in self._groups for rank in group.ranks}
        for name in self._case.operations:
            ended = course.endings.get(name, {})
            outcomes[name] = {one.rank: ended[one.rank].outcome if one.rank in ended else self._rig.outcome(one) for one in results if one.rank in part}
        retry = {one.rank: self._tried_again(course.retry.get(one.rank, ()), one) for one in results if one.rank in course.again}
        self._history.over = True
        self._seen = _Seen(outcomes, retry or None, self._storage() if course.met is None else course.met, tuple(self._left(results)))

    def _tried_again(self, endings: Sequence[RankEnding], result: RankResult) -> Outcome:
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
            succeeded = all(one.outcome.kind == "returned" for one in self._course.endings[name].values())
            for place, then in zip(self._places[name], before, strict=True):
                now = self._engine.fingerprint(place)
                yield from (f"{file} of {name} was written after the operation had ended" for file in now if now[file] != then.get(file))
                yield from (f"temporary file {file} of {name}" for file in now if succeeded and file.endswith(".tmp"))

    def _storage(self) -> dict[str, tuple[StorageEvidence, ...]]:
        damage = self._rig.damage(self._case)
        return {
            name: tuple(self._storage_of(name, *one) for one in zip(self._groups, places, damage, strict=True))
            for name, places in self._places.items()
        }

    def _storage_of(self, name: str, group: Group, place: str, damage: Mapping[str, str]) -> StorageEvidence:
        finishes = [event for event in self._history if event.site == "writer.finish" and event.operation == name]
        late = {str(fault) for fault in self._case.plan if fault.after}
        acted = {event.rank for event in finishes if event.kind in ("exit", "raised") or (event.kind == "fault" and event.detail in late)}
        apart = 0 if self._case.call_style.use_collectives else len(group.ranks)
        # Who is struck below the call may have committed before.
        within = {event.rank for event in finishes if event.kind == "enter"}
        acted |= {event.rank for event in self._history.of_kind("fault") if event.rank in within and SITES[event.site].layer != "calls"}
        finish_acted = len(acted & set(group.ranks)) >= max(1, apart)
        committed = self._engine.committed(place, apart) if self._saves else None
        if self._case.onto == "checkpoint":
            told = {event.rank for event in finishes if event.kind == "exit" or event.detail in late}
            # Until then the marker is the old one, or may be: what a commit that failed has left is told by loading it.
            committed = committed and len(told & set(group.ranks)) >= max(1, apart)
        return StorageEvidence(committed, finish_acted, damage, ranks=group.ranks)

    def _read_back(self, operation: int, number: int, storage: StorageEvidence) -> tuple[StorageEvidence, tuple[str, ...]]:
        """What loading a group's checkpoint gives: of the attempt, as part of its evidence, or of the retry, beside it."""
        seen, course, case, ranks = self._seen, self._course, self._case, storage.ranks
        assert seen is not None, "what was stored is read when the world has ended"
        place, offset, size = list(self._places.values())[operation][number], operation * SECOND, len(ranks)
        replaces, offset_saves = case.onto == "checkpoint", (ATTEMPT + offset, PREVIOUS)
        if course.again.isdisjoint(ranks) and (storage.committed or replaces):
            sizes = (1,) if case.call_style.alone else (size, 1 if size > 1 else 2) if case.call_style.use_collectives else (size,)
            back = {f"{one} rank(s)": self._rig.read_back(case, number, place, offset_saves, one) for one in sizes}
            refusable = storage.committed and size > 1 and not case.call_style.use_collectives
            fewer = {"1 rank(s)": self._rig.read_back(case, number, place, offset_saves, 1)} if refusable else {}
            return dataclasses.replace(
                storage,
                mismatches={how: one.wrong(ATTEMPT + offset) for how, one in back.items()} if storage.committed else {},
                later=tuple(sorted({name for one in back.values() for name in one.later})),
                silent={how: one.differences[ATTEMPT + offset] for how, one in back.items()} if storage.committed else {},
                refusable={how: one.differences[ATTEMPT + offset] for how, one in fewer.items()},
                saves={how: one.saves for how, one in back.items()},
                replaced={how: one.shows(PREVIOUS, ATTEMPT + offset) for how, one in back.items()} if replaces else {},
                flaws=tuple(self._engine.flaws(place)) if storage.committed else (),
            ), ()
        if course.again.issuperset(ranks) and all(seen.retry is not None and seen.retry[rank].kind == "returned" for rank in ranks):
            back_again = self._rig.read_back(case, number, place, (RETRY + offset,), size)
            return storage, (*back_again.wrong(RETRY + offset), *(f"{name}: saved as it was after staging" for name in back_again.later))
        return storage, ()

    def _evidence(self, fired: Iterable[tuple[str, int]], internal_errors: Iterable[str]) -> Evidence:
        seen, course, case = self._seen, self._course, self._case
        assert seen is not None, "the world shows its results before it returns"
        storage: dict[str, tuple[StorageEvidence, ...]] = dict(seen.storage)
        retry_wrong = [text for endings in course.retry.values() for ending in endings for text in ending.wrong or ()]
        for operation, (name, groups) in enumerate(seen.storage.items() if self._saves else ()):
            read = [self._read_back(operation, number, one) for number, one in enumerate(groups)]
            storage[name] = tuple(one for one, _ in read)
            retry_wrong += [text for _, texts in read for text in texts]
        loaded = {name: {rank: one.wrong for rank, one in ended.items() if one.wrong is not None} for name, ended in course.endings.items()}
        return Evidence(
            forecast=self._expected,
            outcomes=seen.outcomes,
            fired=frozenset(fired),
            optional=frozenset(str(fault) for fault in case.plan if fault.optional),
            storage=storage,
            loaded={} if self._saves else loaded,
            futures={name: {rank: one.futures for rank, one in ended.items() if one.futures} for name, ended in course.endings.items()},
            left=seen.left,
            retry=seen.retry,
            retry_mismatches=tuple(retry_wrong),
            background=f"{case.executor} {case.staging} {case.overlap}",
            internal_errors=tuple(internal_errors),
            timeout=timeout_of(case),
            capabilities=self._engine.capabilities,
            protocol=case.call_style.protocol(self._engine.protocol, case.operation),
            way=case.way,
            planner=case.planner,
            onto=case.onto,
            history=self._history,
        )


def _kind(case: Case) -> tuple[str, str, int, str, str]:
    """What cases that find the same checkpoints have in common."""
    return case.engine, case.workload, case.ranks, case.way, case.planner


def _changes(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """How two fingerprints of a place differ."""
    changes = [f"{name} is {'gone' if name not in now else 'changed'}" for name in before if now.get(name) != before[name]]
    return changes + [f"{name} is new" for name in now if name not in before]
