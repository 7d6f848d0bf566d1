"""Evidence for the oracles of single operations, made of what is known of a job: for each engine call, or for calls that were under way at once.

A call is judged by itself as long as the model knows in which state it begins. Once ranks have disagreed, were lost, or came too late, their process group
may be out of step, so the calls behind it, up to the next restart, are left to the oracles of whole jobs.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

from ckpt_harness.cases.baseline import changes_between
from ckpt_harness.cases.binding import GROUP_TIMEOUT
from ckpt_harness.cases.look import Commits
from ckpt_harness.cases.rank_program import ATTEMPT, PREVIOUS
from ckpt_harness.disk.shown import Shown
from ckpt_harness.faults.calling import GONE_ON
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.history import History
from ckpt_harness.jobs.binding import BoundCall, BoundJob
from ckpt_harness.jobs.courses import Courses
from ckpt_harness.jobs.evidence import Reading, Seen, whole_calls
from ckpt_harness.jobs.operations import AsyncSave
from ckpt_harness.jobs.places import Places
from ckpt_harness.jobs.records import BackgroundRecord, LifeRecord, Record
from ckpt_harness.judging.crossing import crossed
from ckpt_harness.judging.evidence import Evidence, Outcome, StorageEvidence
from ckpt_harness.judging.expectation import Ending, Expectation, Forecast
from ckpt_harness.judging.model import forecast as forecast_of
from ckpt_harness.judging.trace import Trace


class Singles:
    """Makes the evidence.

    Args:
        bound: the job.
        courses: says which calls an operation makes without faults.
        places: the places of the job.
        records: what is known of each operation.
        background: what is known of the end of each async save.
        lives: what is known of each life.
        internal_errors: errors of the harness itself.
    """

    def __init__(
        self,
        bound: BoundJob,
        courses: Courses,
        places: Places,
        records: Sequence[Record],
        background: Mapping[int, BackgroundRecord],
        lives: Mapping[int, LifeRecord],
        internal_errors: Sequence[str],
    ) -> None:
        self._bound = bound
        self._courses = courses
        self._places = places
        self._records = records
        self._background = background
        self._lives = lives
        self._internal_errors = tuple(internal_errors)

    def build(self) -> tuple[dict[str, Evidence], dict[int, tuple[Expectation, ...]]]:
        """Returns call -> its evidence, which calls share that were under way at once on one process group; and index of a call -> how it has to end."""
        single: dict[str, Evidence] = {}
        owed: dict[int, tuple[Expectation, ...]] = {}
        in_step = dict.fromkeys(self._lives, True)
        for cluster in self._bound.clusters:
            begun = [self._bound.calls[index] for index in cluster if self._records[index].prepared]
            calls = self._in_step(begun)
            if not calls or not in_step[calls[0].life.number]:
                continue
            forecast = self._forecast(calls)
            for together in _by_group(calls):
                evidence = self._evidence(together, forecast)
                single |= {call.call: evidence for call in together}
            for call in calls:
                owed[call.index] = tuple(each for each in forecast.expectations if each.operation == call.call)
            in_step[calls[0].life.number] = len(calls) == len(begun) and self._stays_in_step(calls)
        return single, owed

    def _in_step(self, calls: Sequence[BoundCall]) -> list[BoundCall]:
        """The calls of a cluster up to the first that did not end alike on all ranks, and the calls to which a rank has gone on alone from there.

        Async saves end when they are waited for, so they all count.
        """
        kept: list[BoundCall] = []
        out_of_step = False
        for call in calls:
            if not self._outcomes(call):
                continue  # there was nothing to load
            if out_of_step and not self._bound.job.goes_on_alone(call.index):
                break
            kept.append(call)
            out_of_step |= not call.fresh and call.index not in self._background and not self._ended_alike(call)
        return kept

    def _ended_alike(self, call: BoundCall) -> bool:
        """Whether a call has ended on all ranks, alike and in time."""
        outcomes = self._outcomes(call)
        kinds = {outcome.kind for outcome in outcomes.values()}
        in_time = len(call.ranks) == 1 or all(outcome.finished_at < GROUP_TIMEOUT for outcome in outcomes.values())
        return kinds in ({"returned"}, {"raised"}) and set(outcomes) == set(call.ranks) and in_time

    def _stays_in_step(self, calls: Sequence[BoundCall]) -> bool:
        """Whether the ranks go on as if they were new: each call ended alike on all of them, behind the same collectives."""
        calls = [call for call in calls if not call.fresh]
        if not all(self._ended_alike(call) for call in calls):
            return False
        life = self._lives[self._bound.calls[calls[0].index].life.number] if calls else None
        for together in _by_group(calls):
            assert life is not None
            history = _history(life, [call.call for call in together])
            if len({_collectives(history, rank) for rank in together[0].ranks}) > 1:
                return False
            if len(together) > 1 and crossed(history, together[0].ranks, [call.call for call in together]):
                return False
        return True

    def _outcomes(self, call: BoundCall) -> dict[int, Outcome]:
        """How a call ended on each rank; of an async save, how the upload ended."""
        if call.index in self._background:
            return {rank: ending.outcome for rank, ending in sorted(self._background[call.index].endings.items())}
        return {rank: outcome for rank, outcome in sorted(self._records[call.index].outcomes.items()) if rank in call.ranks}

    # -- evidence of calls that were under way at once

    def _evidence(self, calls: Sequence[BoundCall], owed: Forecast) -> Evidence:
        """The evidence of calls that share a process group.

        Args:
            calls: the calls.
            owed: how they, and calls that were under way beside them, have to end.
        """
        case, life = calls[0].case, self._lives[calls[0].life.number]
        names = [call.call for call in calls]
        history = _history(life, names)
        plan = _plan(calls)
        storage = {call.call: (self._storage(call, history),) for call in calls if call.case.saves and self._is_in_view(call)}
        onto = {self._onto(call) for call in calls if call.case.saves}
        return Evidence(
            forecast=_about(owed, names),
            outcomes={call.call: self._outcomes(call) for call in calls},
            fired=frozenset((fault, rank) for fault, rank, call in life.fired if call in names),
            optional=frozenset(str(fault) for fault in plan if fault.optional),
            storage=storage,
            loaded={call.call: loaded for call in calls for loaded in [self._loaded(call)] if loaded is not None},
            futures=self._futures(calls),
            internal_errors=self._internal_errors,
            background=_background(calls, any(self._bound.job.goes_on_alone(call.index) for call in calls)),
            timeout=GROUP_TIMEOUT,
            capabilities=case.engine.capabilities,
            protocol=case.protocol,
            way=case.case.way,
            planner=case.case.planner,
            save_planner=type(case.engine.make_save_planner(case.case.planner)).__name__,
            workload=case.case.workload,
            onto="checkpoint" if onto == {"checkpoint"} else "nothing",
            history=history,
        )

    def _futures(self, calls: Sequence[BoundCall]) -> dict[str, dict[int, Mapping[str, Outcome]]]:
        futures: dict[str, dict[int, Mapping[str, Outcome]]] = {}
        for call in calls:
            if call.index in self._background:
                endings = self._background[call.index].endings
                futures[call.call] = {rank: ending.futures for rank, ending in endings.items() if ending.futures}
        return futures

    # -- how calls have to end

    def _forecast(self, calls: Sequence[BoundCall]) -> Forecast:
        """How calls have to end that may be under way at once. Fresh ranks load in a world of their own, where nothing else is under way."""
        parts = [[call] for call in calls if call.fresh]
        together = [call for call in calls if not call.fresh]
        forecasts = [self._forecast_together(part) for part in ([together] if together else []) + parts]
        expectations = {expectation.operation: expectation for each in forecasts for expectation in each.expectations}
        unreachable = frozenset(missed for each in forecasts for missed in each.unreachable)
        return Forecast(tuple(expectations[call.call] for call in calls), unreachable)

    def _forecast_together(self, calls: Sequence[BoundCall]) -> Forecast:
        """How calls have to end that are made in one world."""
        plan, case = _plan(calls), calls[0].case
        traces = {call.call: self._trace(call) for call in calls}
        known = {call.call: (traces[call.call] or _nominal(call)).moments.get(call.call, {}) for call in calls}
        bound = case.plan if len(calls) == 1 else plan.bind(case.case.ranks, 0, case.protocol, case.groups)
        owed = forecast_of(bound, Trace(known), timeout=GROUP_TIMEOUT)
        by_name = {expectation.operation: expectation for expectation in owed.expectations}
        expectations = []
        out_of_step = False
        for call in calls:
            expectation = by_name.get(call.call) or Expectation(call.call, call.ranks, Ending.UNDETERMINED)
            if out_of_step and self._bound.job.goes_on_alone(call.index):
                expectation = _open_ended(expectation)
            elif traces[call.call] is None:
                expectation = _open_ended(expectation)  # the load fails by itself, and the model does not know where
            elif not call.case.saves and not self._is_loadable(call) and expectation.ending is Ending.SUCCEEDS:
                expectation = dataclasses.replace(expectation, ending=Ending.UNDETERMINED)
            out_of_step |= not self._ended_alike(call)
            expectations.append(expectation)
        unreachable = owed.unreachable if None not in traces.values() else frozenset[tuple[str, int]]()
        return Forecast(tuple(expectations), unreachable)

    def _trace(self, call: BoundCall) -> Trace | None:
        """The calls that an operation makes without faults; None where it fails without any."""
        if call.case.saves:
            return self._courses.of(call, "checkpoint" if self._holds_something(call) else "nothing")
        if call.case.plan.faults:
            return self._records[call.index].trace
        return _nominal(call)

    def _is_loadable(self, call: BoundCall) -> bool:
        """Whether a load finds a whole checkpoint of the structure that it asks for."""
        owed = self.owed_by(call)
        return owed is not None and owed.structure == call.structure.in_whole

    def owed_by(self, load: BoundCall) -> BoundCall | None:
        """Returns the save whose values a load owes; None if the place holds no whole checkpoint, or nobody knows what it holds."""
        record = self._records[load.index]
        if record.place is None or record.before is None:
            return None
        seen = record.before.get(record.place, Seen())
        whole = whole_calls(self._places.readings.get(seen.content, ()))
        if len(whole) != 1 or not seen.committed:
            return None
        return next(call for call in self._bound.calls.values() if call.call == whole[0])

    def _loaded(self, call: BoundCall) -> dict[int, tuple[str, ...]] | None:
        """Rank -> how what it holds after a load differs from what it is owed; None if nobody knows what the load owes."""
        if call.case.saves:
            return None
        owed = self.owed_by(call)
        if owed is None or owed.structure != call.structure.in_whole:
            return None
        return {rank: loaded.differences.get(owed.call, ("nothing of what it asked for",)) for rank, loaded in self._records[call.index].loaded.items()}

    # -- what calls have left on storage

    def _before(self, call: BoundCall) -> Seen:
        record = self._records[call.index]
        return Seen() if record.before is None or record.place is None else record.before.get(record.place, Seen())

    def _holds_something(self, call: BoundCall) -> bool:
        return bool(self._before(call).content)

    def _old(self, call: BoundCall) -> str | None:
        """The save whose whole checkpoint a save found at its place; None if it found none."""
        before = self._before(call)
        whole = whole_calls(self._places.readings.get(before.content, ()))
        return whole[0] if before.committed and len(whole) == 1 else None

    def _onto(self, call: BoundCall) -> str:
        return "nothing" if self._old(call) is None else "checkpoint"

    def _after(self, call: BoundCall) -> Mapping[str, Seen]:
        """What was seen at all places once a call had ended: at the look behind it or, of an async save, behind the wait for it."""
        index = self._background[call.index].after if call.index in self._background else call.index
        record = self._look_behind(index)
        return {} if record is None or record.after is None else record.after

    def _look_behind(self, index: int) -> Record | None:
        """The first operation, from an index on, behind which somebody looked."""
        return next((record for record in self._records[index:] if record.after is not None), None)

    def _is_in_view(self, call: BoundCall) -> bool:
        """Whether somebody looked at the place of a save between this save and the next, and between this save and the one before."""
        earlier = [other for other in self._bound.calls.values() if other.index < call.index and self._records[other.index].prepared]
        if self._records[call.index].before is None and any(_same_place(other, call) for other in earlier):
            return False
        index = self._background[call.index].after if call.index in self._background else call.index
        look = self._look_behind(index)
        last = len(self._records) if look is None else look.index + 1
        between = [self._bound.calls[other] for other in range(call.index + 1, last) if other in self._bound.calls and self._records[other].prepared]
        return not any(_same_place(other, call) for other in between)

    def _storage(self, call: BoundCall, history: History) -> StorageEvidence:
        record, before, seen = self._records[call.index], self._before(call), self._after(call)
        assert record.place is not None
        after = seen.get(record.place, Seen())
        commits = Commits.of(history, call.call, call.case.plan.plan)
        committed = after.committed and (not before.committed or bool(commits.reported))
        readings = self._places.readings.get(after.content, ())
        own = [reading for reading in readings if call.call in reading.differences]
        old = self._old(call)
        alone = call.index not in self._background and len(self._bound.cluster_of(call.index)) == 1
        looked_at_once = alone and record.before is not None and record.after is not None
        damaged, removed = self._damage(record, seen) if looked_at_once else ({}, frozenset[str]())
        storage = StorageEvidence(
            committed=committed,
            finish_acted=bool(commits.acted),
            damaged=damaged,
            removed=removed,
            ranks=call.ranks,
            later=tuple(dict.fromkeys(name for reading in own for name in reading.later)),
            saves={_label(reading): _numbers(reading, old, call.call) for reading in own},
            holes={_label(reading): reading.differences[call.call] for reading in own if _shows(reading, readings, old, call.call) == "wrong"},
            replaced={_label(reading): _shows(reading, readings, old, call.call) for reading in own} if old is not None else {},
        )
        if not committed:
            return storage
        return dataclasses.replace(
            storage,
            mismatches={_label(reading): _wrong(reading, call.call) for reading in own},
            silent={_label(reading): reading.differences[call.call] for reading in own},
            flaws=next((reading.flaws for reading in own), ()),
        )

    def _damage(self, record: Record, seen: Mapping[str, Seen]) -> tuple[dict[str, str], frozenset[str]]:
        """How other places have changed during a save."""
        damaged: dict[str, str] = {}
        removed: set[str] = set()
        for place, before in (record.before or {}).items():
            after = seen.get(place, Seen())
            if place != record.place and after != before:
                damaged[place] = changes_between({place: before.content}, {place: after.content} if after.content else {})
                removed |= set() if after.content else {place}
        return damaged, frozenset(removed)


def _collectives(history: History, rank: int) -> tuple[str, ...]:
    """The collectives that a rank has made, whatever their order."""
    return tuple(sorted(event.site for event in history.of_rank(rank) if event.kind == "enter" and event.site.startswith("pg.")))


def _same_place(other: BoundCall, call: BoundCall) -> bool:
    """Whether another call saves to the place of a save."""
    return other.case.saves and other.operation.place == call.operation.place


def _history(life: LifeRecord, names: Sequence[str]) -> History:
    """What happened in some calls, in order."""
    events = [placed for name in names for placed in life.events.get(name, ())]
    return History([event for _, event in sorted(events, key=lambda placed: placed[0])])


def _numbers(reading: Reading, old: str | None, new: str) -> tuple[int, ...]:
    """The saves whose values were read, numbered as those of a case are: what a save found, what it saved, and others."""
    numbers = {old: PREVIOUS, new: ATTEMPT}
    return tuple(sorted(numbers.get(call, _OTHER + position) for position, call in enumerate(reading.calls)))


_OTHER = 100
"""Number from which on saves are numbered that a save has nothing to do with."""


def _nominal(call: BoundCall) -> Trace:
    """The calls that the protocol alone promises."""
    return Trace.nominal([call.call], call.case.groups, call.case.protocol)


def _open_ended(expectation: Expectation) -> Expectation:
    """How a call has to end of which the model cannot say in which state it begins: in any way. Other ranks may still be in the call before, say."""
    return dataclasses.replace(expectation, ending=Ending.UNDETERMINED, step="", failures={}, must_fire=frozenset(), agreement=False)


def _by_group(calls: Sequence[BoundCall]) -> list[list[BoundCall]]:
    """The calls of each process group: those that share one, and each call with a group of its own by itself. A load by fresh ranks has its own, too."""
    own = [[call] for call in calls if _has_own_group(call)]
    shared = [call for call in calls if not _has_own_group(call)]
    return [*([shared] if shared else []), *own]


def _has_own_group(call: BoundCall) -> bool:
    return call.fresh or (isinstance(call.operation, AsyncSave) and call.operation.group == "own")


def _plan(calls: Sequence[BoundCall]) -> FaultPlan:
    """The faults that may strike any of some calls."""
    return FaultPlan(tuple(fault for call in calls for fault in call.case.plan.plan))


def _about(owed: Forecast, names: Sequence[str]) -> Forecast:
    """The part of a forecast that is about some calls."""
    expectations = tuple(expectation for expectation in owed.expectations if expectation.operation in names)
    addressed = {(text, rank) for text, rank in owed.unreachable if any(text.startswith(f"{name}/") for name in names)}
    return Forecast(expectations, frozenset(addressed))


def _background(calls: Sequence[BoundCall], alone: bool) -> str:
    """How async saves were done, as the register describes it: executor, staging, and how other calls may have been under way at once."""
    saves = [call.operation for call in calls if isinstance(call.operation, AsyncSave)]
    overlap = "none" if len(calls) == 1 else GONE_ON if alone else "shared"
    return f"{saves[0].executor} {saves[0].staging} {overlap}" if saves else f"thread writer {overlap}"


def _label(reading: Reading) -> str:
    return f"{reading.ranks} rank(s)"


def _wrong(reading: Reading, call: str) -> tuple[str, ...]:
    """Everything that is wrong if a content must be the checkpoint of a save."""
    return (*(f"rank {rank} {ending}" for rank, ending in reading.failed.items()), *reading.differences[call])


def _shows(reading: Reading, readings: Sequence[Reading], old: str | None, new: str) -> Shown:
    """What a place shows of two saves that it may hold."""
    if old is not None and any(other.is_whole(old) for other in readings if other.ranks == reading.ranks):
        return "old"
    if reading.hung:
        return "hang"
    if reading.failed:
        return "error" if len(reading.failed) == reading.ranks else "disagreement"
    if not reading.differences[new]:
        return "new"
    return "mixture" if len(reading.calls) > 1 else "wrong"
