"""Matching: does an entry of the register describe what an operation of a case showed?

An entry matches on the *decisive fault* (the fault that decides the outcome, as the model says) **and** on the *observed signature* (how the ranks of each
role ended, and where they wait). Any other signature is new, so that nothing hides behind an entry.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, replace

from ckpt_harness.faults.fault import Fault
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.findings.entry import Entry
from ckpt_harness.findings.signatures import Signature, matches, torch_release
from ckpt_harness.judging.crossing import crossed
from ckpt_harness.judging.evidence import Evidence, Outcome
from ckpt_harness.judging.expectation import Acting, Expectation
from ckpt_harness.judging.halfway import written_halfway


@dataclass(frozen=True)
class Setting:
    """The circumstances of a case that the patterns of an entry may ask for.

    Attributes:
        engine: name of the engine.
        way: name of the way of calling.
        planner: name of the kind of planner.
        background: how an async save was done: executor, staging and overlap.
        onto: what a save found at its place: ``nothing``, or a ``checkpoint``.
        crossed: the groups of ranks in which collectives of two saves crossed.
        halfway: (operation, ranks) of the saves that some rank had begun to write, and that not every rank finished writing without a fault.
    """

    engine: str
    way: str
    planner: str
    background: str
    onto: str = "nothing"
    crossed: frozenset[tuple[int, ...]] = frozenset()
    halfway: frozenset[tuple[str, tuple[int, ...]]] = frozenset()

    @classmethod
    def of(cls, engine: str, evidence: Evidence) -> Setting:
        """The circumstances of the case that the evidence is about."""
        return cls(
            engine, evidence.way, evidence.planner, evidence.background, evidence.onto, _crossed_groups(evidence), _halfway(evidence)
        )

    def called(self, kind: str) -> str:
        """How an operation was called, in the words of an entry's ``calls``.

        Args:
            kind: the kind of operation, such as ``save``.

        Example:
            >>> Setting("filesystem", "together", "default", "thread writer none", "checkpoint").called("save")
            'together save default onto a checkpoint'
        """
        call = f"{self.way} {kind} {self.planner}"
        return f"{call} onto a checkpoint" if self.onto == "checkpoint" else call


def _crossed_groups(evidence: Evidence) -> frozenset[tuple[int, ...]]:
    """The groups in which collectives of two saves crossed."""
    groups: dict[tuple[int, ...], list[str]] = {}
    for expectation in evidence.forecast.expectations:
        groups.setdefault(expectation.ranks, []).append(expectation.operation)
    shared = {ranks: operations for ranks, operations in groups.items() if len(operations) > 1}
    return frozenset(
        ranks for ranks, operations in shared.items() if crossed(evidence.history, ranks, operations, in_turns=evidence.in_turns)
    )


def _halfway(evidence: Evidence) -> frozenset[tuple[str, tuple[int, ...]]]:
    """(operation, ranks) of the saves that some rank had begun to write, and that not every rank finished writing without a fault."""
    saves = [(expectation.operation, expectation.ranks) for expectation in evidence.forecast.expectations]
    return frozenset((operation, ranks) for operation, ranks in saves if written_halfway(evidence.history, ranks, operation))


@dataclass(frozen=True)
class Comparison:
    """One entry of the register, compared with one operation of a case.

    Attributes:
        entry: the known finding.
        setting: the circumstances of the case.
        expectation: what the operation had to lead to.
    """

    entry: Entry
    setting: Setting
    expectation: Expectation

    def applies(self) -> bool:
        """Whether the entry is about such an engine, operation and call."""
        entry = self.entry
        kind = self.expectation.operation.partition("[")[0]
        if kind not in entry.operations or not matches(entry.engines, self.setting.engine):
            return False
        if entry.crossing and self.expectation.ranks not in self.setting.crossed:
            return False
        if entry.halfway and (self.expectation.operation, self.expectation.ranks) not in self.setting.halfway:
            return False
        return matches(entry.calls, self.setting.called(kind)) and matches(entry.background, self.setting.background)

    @functools.cached_property
    def _signatures(self) -> list[Signature]:
        """The entry's signatures for such a call and the installed torch."""
        call = self.setting.called(self.expectation.operation.partition("[")[0])
        release = torch_release()
        return [signature for signature in self.entry.signatures if matches(signature.calls, call) and matches(signature.torch, release)]

    @functools.cached_property
    def deciding(self) -> list[Acting]:
        """The decisive faults that the entry is about: faults in the operation, and faults in another operation that take a rank from this operation."""
        if not self.applies():
            return []
        candidates = (*self.expectation.decisive, *map(self._here, self.expectation.elsewhere))
        return [acting for acting in candidates if self._is_about(acting.bound.fault, acting.where)]

    def _here(self, acting: Acting) -> Acting:
        """What a fault of another operation is to this one: it takes the rank wherever the rank is. An interrupted save loses it while ranks write."""
        return replace(acting, within="writer.write_data") if self.entry.halfway else acting

    def _is_about(self, fault: Fault, where: str | None) -> bool:
        """Whether the entry describes the fault: at the fault's own site or, for a site below the storage, at the storage call around it.

        Args:
            fault: the fault.
            where: the call that the engine sees fail; None where the model does not say.
        """
        at_site = matches(self.entry.sites, fault.site) or matches(self.entry.sites, where or fault.site)
        return at_site and (where is None or matches(self.entry.within, where)) and matches(self.entry.effects, str(fault.effect))

    def shows(self, outcomes: Mapping[int, Outcome]) -> bool:
        """Whether the entry's fault struck the operation, and every rank ended as one of the entry's signatures says.

        Args:
            outcomes: how the operation ended on each rank.
        """
        signatures = self._signatures
        if not self.entry.sites:  # The finding needs no fault, so that it has no victims.
            return self.applies() and any(signature.allows(self.expectation, outcomes, frozenset()) for signature in signatures)
        deciding = self.deciding
        return any(signature.shows(self.expectation, outcomes, deciding) for signature in signatures)

    def matching_victims(self, outcomes: Mapping[int, Outcome]) -> set[int]:
        """The ranks that ended as victims of this finding do, whatever became of the other ranks. Of a crossing, all ranks are victims.

        Args:
            outcomes: how the operation ended on each rank.
        """
        if self.entry.crossing:
            return set(outcomes) if self.shows(outcomes) else set()
        deciding = self.deciding
        if not deciding:
            return set()
        victims: set[int] = set()
        for signature in self._signatures:
            victims |= signature.victims(deciding)
        return {rank for rank in victims & outcomes.keys() if self.shows({rank: outcomes[rank]})}

    def fired_with_others(self, fired: frozenset[tuple[str, int]]) -> bool:
        """Whether one of the entry's faults fired together with other faults.

        No one can predict what several faults lead to together, so that no signature is asked for. A violation cannot hide behind this: a sweep
        also tries every fault of such a plan alone.

        Args:
            fired: (text of the fault, rank) of the faults that fired.
        """
        faults = [FaultPlan.parse(text).faults[0] for text in sorted({text for text, _ in fired})]
        if len(faults) < 2 or not self.applies():
            return False
        within = {acting.bound.fault: acting.where for acting in self.expectation.decisive}
        return any(self._is_about(fault, within.get(fault)) for fault in faults)

    def must_show(self, fired: frozenset[tuple[str, int]]) -> bool:
        """Whether this operation has to show the finding. If it does not, the finding is gone.

        It has to when the entry's faults, and no others, decided the outcome, all of them fired, and enough ranks took part. Where a fault of
        another operation takes a rank, this operation may have ended by then. Damaged bytes may be harmless.

        Args:
            fired: (text of the fault, rank) of the faults that fired.
        """
        deciding = [acting for acting in self.deciding if any(signature.victims([acting]) for signature in self._signatures)]
        if self.expectation.ranks in self.setting.crossed and not self.entry.crossing:
            return False  # a collective of the other save may have answered the ranks that wait
        if self.expectation.damages:
            return False  # damaged bytes may be harmless
        if not deciding or len(deciding) < len(self.expectation.decisive) or self.entry.sometimes or self.expectation.elsewhere:
            return False
        all_fired = all((str(acting.bound.fault), acting.rank) in fired for acting in deciding)
        return all_fired and len(self.expectation.ranks) >= self.entry.ranks
