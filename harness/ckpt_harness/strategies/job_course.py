"""A job as far as it is drawn, and what can follow: so each job is valid by construction."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from ckpt_harness.jobs.coverage import OVERWRITE, step
from ckpt_harness.jobs.fault_classes import FATAL, NO_FAULT
from ckpt_harness.jobs.operations import AsyncSave, Change, Continue, Heal, Load, Operation, Prune, Renew, Restart, Retry, Save, Wait
from ckpt_harness.strategies.job_menu import JobMenu


@dataclass
class Course:
    """What the operations so far allow.

    Attributes:
        menu: what jobs are made of.
        ranks: number of ranks of this life.
        way: call style of this life.
        engine: name of the engine of this life.
        workload: name of the workload at this moment.
        operations: the operations so far.
        steps: how coverage counts each of them.
        used: places to which the job has saved.
        under_way: the places of async saves that are under way.
        apart: places of async saves with a process group of their own.
        called: the last engine call of this life, which a retry would repeat.
        faulty: place -> classes of the faults that strike the async save under way there.
        fault: class of the fault that strikes the last operation.
        stopped: whether ranks hang or are dead.
        healed: whether the job has healed.
        counts: kind of operation -> number of calls.
    """

    menu: JobMenu
    ranks: int
    way: str
    engine: str
    workload: str
    operations: list[Operation] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    used: list[str] = field(default_factory=list)
    under_way: list[str] = field(default_factory=list)
    apart: set[str] = field(default_factory=set)
    called: Save | AsyncSave | Load | None = None
    faulty: dict[str, list[str]] = field(default_factory=dict)
    fault: str = NO_FAULT
    stopped: bool = False
    healed: bool = False
    counts: Counter[str] = field(default_factory=Counter)

    @property
    def last(self) -> Operation | None:
        """The last operation so far."""
        return self.operations[-1] if self.operations else None

    @property
    def alone(self) -> bool:
        """Whether each rank goes on alone to the next operation."""
        return isinstance(self.last, Continue)

    def possible(self) -> Iterator[str]:
        """The steps that can follow."""
        patient = not self.menu.overlaps and self.ranks > 1 and not self.apart >= set(self.under_way)
        for word in self.menu.words:
            if word in self.menu.cannot or (patient and word in ("save", "async", "load", "retry")):
                continue
            if word == "save" and word in self.menu.saves(self.engine):
                yield from ("save",) * self._may_save(self.new_places())
                yield from (OVERWRITE,) * self._may_save(self.places_to_overwrite())
            elif word == "async" and word in self.menu.saves(self.engine):
                yield from (word,) * self._may_save([*self.places_to_overwrite(), *self.new_places()])
            elif word not in ("save", "async") and getattr(self, f"_may_{word}")():
                yield word

    def _may_save(self, places: list[str]) -> bool:
        return not self.stopped and bool(places)

    def _may_load(self) -> bool:
        return not self.stopped and bool(self.old_places())

    def _may_wait(self) -> bool:
        begun = self.last is self.called or isinstance(self.last, Retry)
        return bool(self.under_way) and (not self.stopped or (begun and isinstance(self.called, AsyncSave)))

    def _may_retry(self) -> bool:
        called = self.called
        if self.stopped or called is None or called.place in self.under_way:
            return False
        fresh = isinstance(called, Load) and called.ranks > 0
        copied = not isinstance(called, AsyncSave) or called.staging in self.menu.stagings(self.workload)
        return copied and not (fresh and self.alone) and not (self.under_way and self._coordinates_elsewhere())

    def _may_restart(self) -> bool:
        return self.last is not None and not isinstance(self.last, Restart) and not self.alone

    def _may_continue(self) -> bool:
        fresh = isinstance(self.called, Load) and self.called.ranks > 0
        return not self.stopped and not fresh and isinstance(self.last, (Save, AsyncSave, Load, Retry, Wait))

    def _coordinates_elsewhere(self) -> bool:
        """Whether a rank other than 0 coordinates the last engine call."""
        return isinstance(self.called, (Save, Load)) and self.called.coordinator > 0

    def _may_heal(self) -> bool:
        late = 2 * len(self.operations) >= self.menu.max_operations  # no fault strikes any more
        return late and not self.stopped and not self.healed and not self.alone

    def _may_prune(self) -> bool:
        return not self.stopped and bool(self.used) and not self.alone and not isinstance(self.last, Prune)

    def _may_renew(self) -> bool:
        return not self.stopped and self.called is not None and not self.alone and not isinstance(self.last, Renew)

    def _may_change(self) -> bool:
        return not self.stopped and not self.alone and self.last is not None and not isinstance(self.last, Change)

    def new_places(self) -> list[str]:
        """The place that no save has used yet, if there may be another."""
        return list(self.menu.places[len(self.used) : len(self.used) + 1])

    def old_places(self) -> list[str]:
        """The places that saves have used, and that none is using."""
        return [place for place in self.used if place not in self.under_way]

    def places_to_overwrite(self) -> list[str]:
        """The places that saves have used, and that the next save may use again: with a manager the last step, since training seldom goes back."""
        last = self.used[-1:] if self.menu.manager else self.used
        return [place for place in self.old_places() if place in last]

    def add(self, operation: Operation) -> None:
        """Adds an operation that :meth:`possible` allows."""
        self.steps.append(step(operation, self.used))
        self.operations.append(operation)
        made = self.called if isinstance(operation, Retry) else operation
        if isinstance(operation, Continue):
            return
        self.fault = NO_FAULT
        if isinstance(made, (Save, AsyncSave, Load)):
            self._add_call(made)
        elif isinstance(operation, Wait):
            self._add_wait(operation)
        elif isinstance(operation, Restart):
            self._restart(operation)
        elif isinstance(operation, Change):
            self.workload = operation.to if operation.to in self.menu.workloads else self.workload
        elif isinstance(operation, Heal):
            self.healed = True

    def _add_call(self, called: Save | AsyncSave | Load) -> None:
        self.called = called
        assert called.kind is not None
        self.counts[called.kind] += 1
        if not isinstance(called, Load) and called.place not in self.used:
            self.used.append(called.place)
        if isinstance(called, AsyncSave):
            self.under_way.append(called.place)
            self.apart = self.apart - {called.place} | ({called.place} if called.group == "own" else set())

    def _add_wait(self, wait: Wait) -> None:
        ended = [place for place in self.under_way if wait.place in ("", place)]
        self.under_way = [place for place in self.under_way if place not in ended]
        faults = [name for place in ended for name in self.faulty.pop(place, [])]
        self.fault = faults[0] if faults else NO_FAULT
        self.stopped = self.stopped or any(name in FATAL for name in faults)

    def _restart(self, restart: Restart) -> None:
        self.ranks, self.way, self.engine = restart.ranks or self.ranks, restart.way or self.way, restart.engine or self.engine
        self.called, self.under_way, self.faulty, self.stopped = None, [], {}, False

    def strike(self, name: str) -> None:
        """Notes the class of a fault that strikes the last operation."""
        self.fault = name
        in_background = isinstance(self.called, AsyncSave)
        self.stopped = self.stopped or name == "death" or (name == "stall" and not in_background)
        if in_background:
            assert self.called is not None
            self.faulty.setdefault(self.called.place, []).append(name)
