"""The committed checkpoints that cases find: saved once, without faults, and shared by all cases of one kind."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ckpt_harness.cases.binding import GROUP_TIMEOUT, BoundCase
from ckpt_harness.cases.membership import joined
from ckpt_harness.cases.rank_program import OLDER, PREVIOUS
from ckpt_harness.cases.workspace import Workspace
from ckpt_harness.engines.base import Engine
from ckpt_harness.judging.evidence import Outcome
from ckpt_harness.runtime import current
from ckpt_harness.worlds.simulated import SimulatedWorld

Kind = tuple[str, str, int, str, str, int | None, str]
"""What cases that find the same checkpoints have in common: engine, workload, number of ranks, call style, planner, number of shards, and what the
checkpoints have replaced."""


@dataclass(frozen=True)
class Damage:
    """What was done to the checkpoint of a group that had been committed before.

    Attributes:
        changes: name of the checkpoint -> what changed; empty where nothing did.
        removed: its name, where files are gone and everything else is as it was.
    """

    changes: Mapping[str, str] = field(default_factory=dict)
    removed: frozenset[str] = frozenset()

    @classmethod
    def between(cls, before: Mapping[str, str], now: Mapping[str, str]) -> Damage:
        """Compares two fingerprints of the checkpoint.

        Example:
            >>> Damage.between({"a": "1", "b": "2"}, {"b": "2"})
            Damage(changes={'previous': 'a is gone'}, removed=frozenset({'previous'}))
        """
        text = changes_between(before, now)
        if not text:
            return cls()
        return cls({"previous": text}, frozenset({"previous"}) if now.items() <= before.items() else frozenset())


@dataclass(frozen=True)
class Baseline:
    """The checkpoints that were committed before a case, one for each group.

    Attributes:
        engine: the engine that saved them.
        places: where each lies.
        contents: the fingerprint of each.
        outcomes: rank -> how saving them ended.
        reduced: whether the preparation of a case has removed some of them, so that no other case can use them.
    """

    engine: Engine
    places: tuple[str, ...]
    contents: tuple[Mapping[str, str], ...]
    outcomes: Mapping[int, Outcome]
    reduced: bool = False

    @property
    def usable(self) -> bool:
        """Whether the engine could save at all: if not, no case means anything."""
        return all(outcome.kind == "returned" for outcome in self.outcomes.values())

    def damage(self) -> list[Damage]:
        """Returns what has changed in the checkpoint of each group since it was saved."""
        return [Damage.between(before, self.engine.fingerprint(place)) for place, before in zip(self.places, self.contents, strict=True)]

    @property
    def changed(self) -> bool:
        """Whether anything has changed in the checkpoint of any group."""
        return any(damage.changes for damage in self.damage())


class Baselines:
    """Saves the baseline of each kind of case when a case of this kind runs first, and again once it was damaged.

    Args:
        workspace: where the checkpoints lie.
    """

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._saved: dict[Kind, Baseline] = {}

    def of(self, bound: BoundCase) -> Baseline:
        """Returns the baseline that a case finds."""
        kind = _kind(bound)
        if kind not in self._saved:
            name = re.sub(r"\W+", "-", f"previous-{'-'.join(map(str, kind))}")
            places = self._workspace.places(bound, name)
            outcomes = self._saved_over(bound, places) if bound.loads_a_replacement else self.save(bound, places)
            contents = tuple(bound.engine.fingerprint(place) for place in places)
            self._saved[kind] = Baseline(bound.engine, places, contents, outcomes)
        return self._saved[kind]

    def ready(self, bound: BoundCase) -> Baseline:
        """Returns the baseline for a case that is about to run. Where an engine with retention removed it in another case, it is saved anew."""
        kind = _kind(bound)
        if bound.may_remove_older and kind in self._saved and (self._saved[kind].reduced or self._saved[kind].changed):
            self._forget(kind)
        return self.of(bound)

    def take_stock(self, bound: BoundCase) -> None:
        """Notes what is left of the baseline after a case was prepared: an engine with retention may have removed it, which is no doing of the case."""
        baseline = self.of(bound)
        if bound.may_remove_older and baseline.changed:
            contents = tuple(bound.engine.fingerprint(place) for place in baseline.places)
            self._saved[_kind(bound)] = replace(baseline, contents=contents, reduced=True)

    def _saved_over(self, bound: BoundCase, places: Sequence[str]) -> dict[int, Outcome]:
        """Saves an older state, and the state of the checkpoints onto it. An engine that refuses to overwrite gets checkpoints that replace nothing."""
        outcomes = self.save(bound, places, OLDER)
        if all(outcome.kind == "returned" for outcome in outcomes.values()):
            outcomes = self.save(bound, places)
        if any(outcome.kind != "returned" for outcome in outcomes.values()):
            for place in places:
                bound.engine.discard(place)
            outcomes = self.save(bound, places)
        return outcomes

    def save(self, bound: BoundCase, places: Sequence[str], number: int = PREVIOUS) -> dict[int, Outcome]:
        """Saves a state without faults.

        Args:
            bound: a case; rank 0 of each group coordinates, whatever the case says.
            places: where each group saves.
            number: number of the save.

        Returns:
            Rank -> how the save ended.
        """

        def save() -> None:
            with joined(bound, current().rank(), GROUP_TIMEOUT, coordinator=0) as member:
                if member is None:
                    return
                place = places[member.number]
                state = bound.workload.make(member.context(number))
                planner = bound.engine.make_save_planner(bound.case.planner)
                bound.engine.save(state, bound.engine.make_writer(place), planner, place, member.call)

        world = SimulatedWorld(bound.case.ranks, timeout=GROUP_TIMEOUT, group=bound.in_process_group)
        return {result.rank: self._workspace.outcome(result) for result in world.run(save)}

    def damage(self, bound: BoundCase) -> list[Damage]:
        """Looks for damage that a case did to its baseline, group by group. A damaged baseline is saved anew for the next case."""
        damage = self.of(bound).damage()
        if any(of_group.changes for of_group in damage):
            self._forget(_kind(bound))
        return damage

    def close(self) -> None:
        """Removes all baselines."""
        for kind in list(self._saved):
            self._forget(kind)

    def _forget(self, kind: Kind) -> None:
        baseline = self._saved.pop(kind)
        for place in baseline.places:
            baseline.engine.discard(place)


def _kind(bound: BoundCase) -> Kind:
    case = bound.case
    return case.engine, case.workload, case.ranks, case.way, case.planner, bound.shards, "older" if bound.loads_a_replacement else "nothing"


def changes_between(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Returns how two fingerprints of a place differ, in words; "" where they are equal.

    Args:
        before: file -> digest of its content.
        now: the same, later.

    Example:
        >>> changes_between({"a": "1", "b": "2"}, {"b": "3", "c": "4"})
        'a is gone, b is changed, c is new'
    """
    changes = []
    for name in before:
        if name not in now:
            changes.append(f"{name} is gone")
        elif now[name] != before[name]:
            changes.append(f"{name} is changed")
    changes += [f"{name} is new" for name in now if name not in before]
    return ", ".join(changes)
