"""Matching: does an entry of the register describe what an operation of a case showed?

An entry matches on the *decisive fault* (the fault that decides the outcome, as the model says) **and** on the *observed signature* (how the ranks of each
role ended, and where they wait). Any other signature is new, so that nothing hides behind an entry.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from ckpt_harness.engines.names import ships
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
        added: (operation, ranks) of the saves over a checkpoint that have added a file of a new name.
        planners: operation of a job -> name of the kind of planner, where operations differ.
        overwriting: the saves of a job that found a checkpoint at their place.
        coordinators_before: the ranks that have coordinated earlier saves of a job with the same kind of planner.
        workload: name of the workload.
        save_planner: name of the class of the save planner.
        capabilities: names of the capabilities that the engine claims.
        replaced: patterns of the methods of storage classes that the engine does not share with the engine of this name.
        struck: (text of the fault, rank) -> the files that the fault struck.
        escaped: rank -> errors that escaped from its threads; None where nothing would have seen them.
    """

    engine: str
    way: str
    planner: str
    background: str
    onto: str = "nothing"
    crossed: frozenset[tuple[int, ...]] = frozenset()
    halfway: frozenset[tuple[str, tuple[int, ...]]] = frozenset()
    added: frozenset[tuple[str, tuple[int, ...]]] = frozenset()
    planners: Mapping[str, str] = field(default_factory=dict)
    overwriting: frozenset[str] = frozenset()
    coordinators_before: frozenset[int] = frozenset()
    workload: str = "mixed"
    save_planner: str = "DefaultSavePlanner"
    capabilities: frozenset[str] = frozenset()
    replaced: frozenset[str] = frozenset()
    struck: Mapping[tuple[str, int], frozenset[str]] = field(default_factory=dict)
    escaped: Mapping[int, frozenset[str]] | None = field(default_factory=dict)

    @classmethod
    def of(cls, engine: str, evidence: Evidence, replaced: frozenset[str] = frozenset()) -> Setting:
        """The circumstances of the case that the evidence is about.

        Args:
            engine: the name under which the register knows the engine.
            evidence: what was observed.
            replaced: patterns of the methods of storage classes that the engine does not share with the engine of this name.
        """
        return cls(
            engine,
            evidence.way,
            evidence.planner,
            evidence.background,
            evidence.onto,
            crossed=_crossed_groups(evidence),
            halfway=_halfway(evidence),
            added=frozenset((operation, storage.ranks) for operation, storage in evidence.places() if storage.added),
            planners=evidence.planners,
            overwriting=evidence.overwriting,
            coordinators_before=evidence.coordinators_before,
            workload=evidence.workload,
            save_planner=evidence.save_planner,
            capabilities=frozenset(capability.value for capability in evidence.capabilities),
            replaced=replaced,
            struck=_struck_files(evidence),
            escaped=_escaped(evidence),
        )

    def called(self, operation: str) -> str:
        """How an operation was called, in the words of an entry's ``calls``.

        Args:
            operation: the operation, such as ``save[1]``.

        Example:
            >>> Setting("filesystem", "together", "default", "thread writer none", "checkpoint").called("save[1]")
            'together save default onto a checkpoint'
        """
        call = f"{self.way} {operation.partition('[')[0]} {self.planners.get(operation, self.planner)}"
        return f"{call} onto a checkpoint" if self.onto == "checkpoint" or operation in self.overwriting else call


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
    of_fewer = {operation for operation, storage in evidence.places() if storage.of_more_ranks}
    return frozenset(
        (operation, ranks)
        for operation, ranks in saves
        if written_halfway(evidence.history, ranks, operation, all_files=operation not in of_fewer)
    )


def _struck_files(evidence: Evidence) -> dict[tuple[str, int], frozenset[str]]:
    """(text of the fault, rank) -> the files that the fault struck: the history names the file of each call below the storage."""
    files: dict[tuple[str, int], set[str]] = {}
    calls: dict[tuple[int, str, str, int], str] = {}
    for event in evidence.history:
        call = (event.rank, event.operation, event.site, event.nth)
        if event.kind == "enter":
            calls[call] = event.detail
        elif event.kind == "fault":
            files.setdefault((event.detail, event.rank), set()).add(calls.get(call, ""))
    return {fault: frozenset(names) for fault, names in files.items()}


def _escaped(evidence: Evidence) -> dict[int, frozenset[str]] | None:
    """Rank -> the errors that escaped from its threads. Those of the process that saves for a rank are not seen."""
    in_a_process = any(expectation.operation.startswith("async_save") for expectation in evidence.forecast.expectations)
    if in_a_process and evidence.background.startswith("process "):
        return None
    escaped: dict[int, frozenset[str]] = {}
    for event in evidence.history.of_kind("escaped"):
        escaped[event.rank] = escaped.get(event.rank, frozenset()) | {event.detail}
    return escaped


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
        """Whether the entry is about such an engine, operation and call, and such a save."""
        entry, setting = self.entry, self.setting
        kind = self.expectation.operation.partition("[")[0]
        if kind not in entry.operations or not is_about(entry, setting.engine, setting.replaced, setting.capabilities):
            return False
        if not self._is_such_a_save():
            return False
        called = matches(entry.calls, setting.called(self.expectation.operation)) and matches(entry.background, setting.background)
        return called and matches(entry.workloads, setting.workload)

    def _is_such_a_save(self) -> bool:
        """Whether the collectives of the save crossed, and how far the save came and what it stored, as far as the entry asks for it."""
        entry, setting = self.entry, self.setting
        save = (self.expectation.operation, self.expectation.ranks)
        if entry.crossing and self.expectation.ranks not in setting.crossed:
            return False
        if entry.halfway and save not in setting.halfway:
            return False
        if entry.another_coordinator and setting.coordinators_before <= {self.expectation.coordinator}:
            return False
        return not (entry.in_place and save in setting.added)

    @functools.cached_property
    def _signatures(self) -> list[Signature]:
        """The entry's signatures for such a call and the installed torch."""
        call = self.setting.called(self.expectation.operation)
        release = torch_release()
        return [
            signature.with_planner(self.setting.save_planner)
            for signature in self.entry.signatures
            if matches(signature.calls, call) and matches(signature.torch, release)
        ]

    @functools.cached_property
    def deciding(self) -> list[Acting]:
        """The decisive faults that the entry is about: faults in the operation, and faults in another operation that take a rank from this operation."""
        if not self.applies():
            return []
        candidates = (*self.expectation.decisive, *map(self._here, self.expectation.elsewhere))
        return [acting for acting in candidates if self._is_about(acting.bound.fault, acting.where) and self._struck_so(acting)]

    def _here(self, acting: Acting) -> Acting:
        """What a fault of another operation is to this one: it takes the rank wherever the rank is. An interrupted save loses it while ranks write."""
        return replace(acting, within="writer.write_data") if self.entry.halfway else acting

    def _struck_so(self, acting: Acting) -> bool:
        """Whether a fault struck DCP's code, such files as the entry names, and a rank on which such an error escaped."""
        if matches(self.setting.replaced, acting.where):
            return False  # the engine's own method, and not that of its kin
        files = self.setting.struck.get((str(acting.bound.fault), acting.rank), frozenset())
        if self.entry.files != ("*",) and not (files and all(matches(self.entry.files, file) for file in files)):
            return False
        if self.entry.escaped == ("*",) or self.setting.escaped is None:
            return True
        return any(matches(self.entry.escaped, error) for error in self.setting.escaped.get(acting.rank, ()))

    def _is_about(self, fault: Fault, where: str | None) -> bool:
        """Whether the entry describes the fault: at the fault's own site or, for a site below the storage, at the storage call around it.

        Args:
            fault: the fault.
            where: the call that the engine sees fail; None where the model does not say.
        """
        at_site = matches(self.entry.sites, fault.site) or matches(self.entry.sites, where or fault.site)
        return at_site and (where is None or matches(self.entry.within, where)) and matches(self.entry.effects, str(fault.effect))

    def shows(self, outcomes: Mapping[int, Outcome], oracle: str = "") -> bool:
        """Whether the entry's fault struck the operation, and every rank ended as one of the entry's signatures says.

        Args:
            outcomes: how the operation ended on each rank.
            oracle: the oracle that found the violation in question; "" for any.
        """
        signatures = [signature for signature in self._signatures if not oracle or matches(signature.oracles, oracle)]
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


def is_about(entry: Entry, engine: str, replaced: Iterable[str], capabilities: Iterable[str]) -> bool:
    """Whether an entry is about an engine: about such a name, code that the engine has, and nothing that the engine claims to do better.

    Args:
        entry: the entry.
        engine: the name under which the register knows the engine.
        replaced: patterns of the methods of storage classes that the engine does not share with the engine of this name.
        capabilities: names of the capabilities that the engine claims.
    """
    if not matches(entry.engines, engine) or not set(entry.unless).isdisjoint(capabilities):
        return False
    if entry.shipped and "*" not in entry.engines and not ships(engine):
        return False
    return not any(matches(replaced, method) for method in entry.code)
