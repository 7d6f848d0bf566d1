"""Evidence for the oracles of single operations, made of what is known of a job: for each engine call, or for calls that were under way at once.

A call is judged by itself as long as the model knows in which state it begins. Once ranks have disagreed, were lost, or came too late, their process group
may be out of step, so the calls behind it, up to the next restart, are left to the oracles of whole jobs.
"""

from __future__ import annotations

from collections.abc import Sequence

from ckpt_harness.cases.binding import GROUP_TIMEOUT
from ckpt_harness.faults.calling import GONE_ON
from ckpt_harness.history import History
from ckpt_harness.jobs.binding import BoundCall
from ckpt_harness.jobs.observed import Observed
from ckpt_harness.jobs.operations import AsyncSave
from ckpt_harness.jobs.records import LifeRecord
from ckpt_harness.jobs.running import JobRun
from ckpt_harness.jobs.single_forecast import Forecasts, part_of, plan_of
from ckpt_harness.jobs.single_storage import stored_by
from ckpt_harness.judging.crossing import crossed
from ckpt_harness.judging.evidence import Evidence
from ckpt_harness.judging.expectation import Expectation, Forecast


class Singles:
    """Makes the evidence.

    Args:
        run: the job, which has ended.
    """

    def __init__(self, run: JobRun) -> None:
        self._bound = run.bound
        self._lives = run.lives
        self._internal_errors = tuple(run.internal_errors)
        self._observed = Observed(run)
        self._forecasts = Forecasts(run.bound, run.courses, self._observed)

    def build(self) -> tuple[dict[str, Evidence], dict[int, tuple[Expectation, ...]]]:
        """Returns call -> its evidence, which calls share that were under way at once on one process group; and index of a call -> how it has to end."""
        single: dict[str, Evidence] = {}
        owed: dict[int, tuple[Expectation, ...]] = {}
        in_step = dict.fromkeys(self._lives, True)
        for cluster in self._bound.clusters:
            begun = [call for call in (self._bound.calls[index] for index in cluster) if self._observed.was_begun(call)]
            calls = self._in_step(begun)
            if not calls or not in_step[calls[0].life.number]:
                continue
            forecast = self._forecasts.of(calls)
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
            history = _history(self._lives[together[0].life.number], [call.call for call in together])
            if len({_collectives(history, rank) for rank in together[0].ranks}) > 1:
                return False
            if len(together) > 1 and crossed(history, together[0].ranks, [call.call for call in together]):
                return False
        return True

    def _evidence(self, calls: Sequence[BoundCall], owed: Forecast) -> Evidence:
        """The evidence of calls that share a process group.

        Args:
            calls: the calls.
            owed: how they, and calls that were under way beside them, have to end.
        """
        case, life, observed = calls[0].case, self._lives[calls[0].life.number], self._observed
        names = [call.call for call in calls]
        history = _history(life, names)
        saves = [call for call in calls if call.case.saves]
        onto_checkpoints = bool(saves) and all(observed.old(call) is not None for call in saves)
        return Evidence(
            forecast=part_of(owed, names),
            outcomes={call.call: observed.outcomes(call) for call in calls},
            fired=frozenset((fault, rank) for fault, rank, call in life.fired if call in names),
            optional=frozenset(str(fault) for fault in plan_of(calls) if fault.optional),
            storage={call.call: (stored_by(self._bound, observed, call, history),) for call in saves if observed.is_in_view(call)},
            loaded={call.call: loaded for call in calls for loaded in [observed.loaded(call)] if loaded is not None},
            futures={call.call: observed.futures(call) for call in calls if observed.in_background(call)},
            internal_errors=self._internal_errors,
            background=_background(calls, any(self._bound.job.goes_on_alone(call.index) for call in calls)),
            timeout=GROUP_TIMEOUT,
            capabilities=case.engine.capabilities,
            protocol=case.protocol,
            way=case.case.way,
            planner=case.case.planner,
            save_planner=type(case.engine.make_save_planner(case.case.planner)).__name__,
            workload=case.case.workload,
            onto="checkpoint" if onto_checkpoints else "nothing",
            history=history,
        )


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


def _background(calls: Sequence[BoundCall], alone: bool) -> str:
    """How async saves were done, as the register describes it: executor, staging, and how other calls may have been under way at once."""
    saves = [call.operation for call in calls if isinstance(call.operation, AsyncSave)]
    overlap = "none" if len(calls) == 1 else GONE_ON if alone else "shared"
    return f"{saves[0].executor} {saves[0].staging} {overlap}" if saves else f"thread writer {overlap}"
