"""Evidence for the oracles of single operations, made of what is known of a job: for each engine call, or for calls that were under way at once.

A call is judged by itself as long as the model knows in which state it begins. Once ranks have disagreed, were lost, or came too late, their process group
may be out of step, so the calls behind it, up to the next restart, are left to the oracles of whole jobs.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from ckpt_harness.cases.binding import GROUP_TIMEOUT
from ckpt_harness.faults.calling import GONE_ON
from ckpt_harness.history import History
from ckpt_harness.jobs.binding import BoundCall
from ckpt_harness.jobs.job import Life
from ckpt_harness.jobs.observed import Observed
from ckpt_harness.jobs.operations import AsyncSave
from ckpt_harness.jobs.records import LifeRecord
from ckpt_harness.jobs.running import JobRun
from ckpt_harness.jobs.shortened import is_accepted, shortened
from ckpt_harness.jobs.single_forecast import Forecasts, part_of, plan_of
from ckpt_harness.jobs.single_storage import stored_by
from ckpt_harness.judging.crossing import crossed
from ckpt_harness.judging.evidence import Evidence
from ckpt_harness.judging.expectation import Expectation, Forecast


@dataclass
class _Taken:
    """The evidence of calls that may have been under way at once.

    Attributes:
        calls: the calls.
        evidence: as :attr:`Singles.evidence`.
        owed: as :attr:`Singles.owed`.
        accepted: whether the oracles of single operations find nothing.
        in_step: whether the ranks go on as if they were new.
    """

    calls: Sequence[BoundCall]
    evidence: dict[str, Evidence] = field(default_factory=dict)
    owed: dict[int, tuple[Expectation, ...]] = field(default_factory=dict)
    accepted: bool = True
    in_step: bool = True


class Singles:
    """Makes the evidence while the job runs, so that the events of calls that have ended need not be kept.

    Args:
        run: the job.

    Attributes:
        evidence: call -> its evidence, which calls share that were under way at once on one process group.
        owed: index of a call -> how it has to end.
    """

    def __init__(self, run: JobRun) -> None:
        self._run = run
        self._bound = run.bound
        self._in_turns = run.bound.job.world == "simulated"
        self._observed = Observed(run)
        self._forecasts = Forecasts(run.bound, run.courses, self._observed)
        self._to_come = deque(run.bound.clusters)
        self._out_of_step: set[int] = set()
        self._put_off = 0
        self.evidence: dict[str, Evidence] = {}
        self.owed: dict[int, tuple[Expectation, ...]] = {}

    def take(self, life: Life, before: int) -> None:
        """Makes the evidence of calls that have ended. Somebody has looked at storage since.

        What an engine does behind an async save that was waited for, the save is to answer for. So where its evidence is not accepted, the evidence is made
        anew once the life is over.

        Args:
            life: the life that runs.
            before: the index of the operation that all ranks are about to begin.
        """
        while self._to_come and self._has_ended(self._to_come[0], before) and self._put_off != life.number:
            taken = self._taken(self._to_come[0])
            if not taken.accepted and any(self._observed.in_background(call) for call in taken.calls):
                self._put_off = life.number
            else:
                self._keep(taken)

    def take_rest(self) -> None:
        """Makes the evidence of all calls that are left: the job has ended."""
        while self._to_come:
            self._keep(self._taken(self._to_come[0]))

    def _has_ended(self, cluster: Sequence[int], before: int) -> bool:
        """Whether all calls that may have been under way at once have ended on all ranks."""
        background = [call for call in self._calls(cluster) if self._observed.in_background(call)]
        return cluster[-1] < before and all(set(call.ranks) <= set(self._observed.outcomes(call)) for call in background)

    def _calls(self, cluster: Sequence[int]) -> list[BoundCall]:
        return [self._bound.calls[index] for index in cluster]

    def _taken(self, cluster: Sequence[int]) -> _Taken:
        """Makes the evidence of calls that may have been under way at once."""
        begun = [call for call in self._calls(cluster) if self._observed.was_begun(call)]
        calls = self._in_step(begun)
        taken = _Taken(begun)
        if calls and calls[0].life.number not in self._out_of_step:
            forecast = self._forecasts.of(calls)
            for together in _by_group(calls):
                evidence = self._evidence(together, forecast, beside=len(calls) > len(together))
                if is_accepted(evidence):
                    evidence = shortened(evidence)
                else:
                    taken.accepted = False
                taken.evidence |= {call.call: evidence for call in together}
            for call in calls:
                taken.owed[call.index] = tuple(each for each in forecast.expectations if each.operation == call.call)
            taken.in_step = len(calls) == len(begun) and self._stays_in_step(calls)
        return taken

    def _keep(self, taken: _Taken) -> None:
        """Keeps the evidence of calls, and forgets what happened in them."""
        self._to_come.popleft()
        self.evidence |= taken.evidence
        self.owed |= taken.owed
        for call in taken.calls:
            self._run.lives[call.life.number].events.pop(call.call, None)
            if not taken.in_step:
                self._out_of_step.add(call.life.number)

    def _in_step(self, calls: Sequence[BoundCall]) -> list[BoundCall]:
        """The calls of a cluster up to the first that did not end alike on all ranks, and the calls to which a rank has gone on alone from there.

        Async saves end when they are waited for, so they all count.
        """
        kept: list[BoundCall] = []
        out_of_step = False
        for call in calls:
            if not self._observed.outcomes(call):
                continue  # there was nothing to load
            if out_of_step and not self._bound.job.goes_on_alone(call.index):
                break
            kept.append(call)
            out_of_step |= not call.fresh and not self._observed.in_background(call) and not self._observed.ended_alike(call)
        return kept

    def _stays_in_step(self, calls: Sequence[BoundCall]) -> bool:
        """Whether the ranks go on as if they were new: each call ended alike on all of them, behind the same collectives."""
        calls = [call for call in calls if not call.fresh]
        if not all(self._observed.ended_alike(call) for call in calls):
            return False
        for together in _by_group(calls):
            history = _history(self._run.lives[together[0].life.number], [call.call for call in together])
            if len({_collectives(history, rank) for rank in together[0].ranks}) > 1:
                return False
            if len(together) > 1 and crossed(history, together[0].ranks, [call.call for call in together], in_turns=self._in_turns):
                return False
        return True

    def _evidence(self, calls: Sequence[BoundCall], owed: Forecast, *, beside: bool) -> Evidence:
        """The evidence of calls that share a process group.

        Args:
            calls: the calls.
            owed: how they, and calls that were under way beside them, have to end.
            beside: whether other calls were under way beside them, on other process groups.
        """
        case, life, observed = calls[0].case, self._run.lives[calls[0].life.number], self._observed
        names = [call.call for call in calls]
        history = _history(life, names)
        saves = [call for call in calls if call.case.saves]
        onto = [call for call in saves if observed.overwrites(call)]
        return Evidence(
            forecast=part_of(owed, names),
            outcomes={call.call: observed.outcomes(call) for call in calls},
            fired=frozenset((fault, rank) for fault, rank, call in life.fired if call in names),
            optional=frozenset(str(fault) for fault in plan_of(calls) if fault.optional),
            storage={call.call: (stored_by(self._bound, observed, call, history),) for call in saves if observed.is_in_view(call)},
            loaded={call.call: loaded for call in calls for loaded in [observed.loaded(call)] if loaded is not None},
            futures={call.call: observed.futures(call) for call in calls if observed.in_background(call)},
            internal_errors=tuple(self._run.internal_errors),
            background=_background(calls, self._overlap(calls, beside=beside)),
            timeout=GROUP_TIMEOUT,
            capabilities=case.engine.capabilities,
            protocol=case.protocol,
            way=case.case.way,
            planner=case.case.planner,
            save_planner=type(case.engine.make_save_planner(case.case.planner)).__name__,
            workload=case.case.workload,
            onto="checkpoint" if saves and all(observed.old(call) is not None for call in saves) else "nothing",
            planners={call.call: call.case.case.planner for call in calls},
            overwriting=frozenset(call.call for call in onto),
            coordinators_before=self._coordinators_before(calls[-1]),
            history=history,
            in_turns=self._in_turns,
        )

    def _overlap(self, calls: Sequence[BoundCall], *, beside: bool) -> str:
        """How calls were under way at once, as the register describes it."""
        if len(calls) == 1:
            return "separate" if beside else "none"
        return GONE_ON if any(self._bound.job.goes_on_alone(call.index) for call in calls) else "shared"

    def _coordinators_before(self, last: BoundCall) -> frozenset[int]:
        """The ranks that have coordinated saves of a life, with the same kind of planner, ahead of a call."""
        before = [call for index, call in self._bound.calls.items() if index in last.life.operations and index < last.index and call.case.saves]
        return frozenset(call.case.groups[0].coordinator for call in before if call.case.case.planner == last.case.case.planner)


def _by_group(calls: Sequence[BoundCall]) -> list[list[BoundCall]]:
    """The calls of each process group: those that share one, and each call with a group of its own by itself. A load by fresh ranks has its own, too."""
    own = [[call] for call in calls if _has_own_group(call)]
    shared = [call for call in calls if not _has_own_group(call)]
    return [*([shared] if shared else []), *own]


def _has_own_group(call: BoundCall) -> bool:
    return call.fresh or (isinstance(call.operation, AsyncSave) and call.operation.group == "own")


def _history(life: LifeRecord, names: Sequence[str]) -> History:
    """What happened in some calls, in order."""
    events = [placed for name in names for placed in life.events.get(name, ())]
    return History([event for _, event in sorted(events, key=lambda placed: placed[0])])


def _collectives(history: History, rank: int) -> tuple[str, ...]:
    """The collectives that a rank has made, whatever their order."""
    return tuple(sorted(event.site for event in history.of_rank(rank) if event.kind == "enter" and event.site.startswith("pg.")))


def _background(calls: Sequence[BoundCall], overlap: str) -> str:
    """How async saves were done, as the register describes it: executor, staging, and how other calls may have been under way at once."""
    saves = [call.operation for call in calls if isinstance(call.operation, AsyncSave)]
    return f"{saves[0].executor} {saves[0].staging} {overlap}" if saves else f"thread writer {overlap}"
