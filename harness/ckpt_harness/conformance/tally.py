"""Counts what cases, crashes and damage show of an engine, and blames each violation on a capability."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping

from ckpt_harness.campaigns.crashes import Crashes
from ckpt_harness.campaigns.damage import Damages
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.result import CaseResult
from ckpt_harness.conformance.causes import Cause, decisive, without_particulars
from ckpt_harness.conformance.report import Claim, EngineReport
from ckpt_harness.disk.shown import Shown
from ckpt_harness.engines.base import Engine
from ckpt_harness.errors import cut
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.findings.register import Register
from ckpt_harness.judging.capabilities import needed
from ckpt_harness.judging.oracles import claim_of
from ckpt_harness.judging.verdict import Judgement, Verdict

_OF_PROPAGATION = ("bounded", "agreement", "attribution")
"""Oracles that say whether ranks learn of each other's failures."""


class Tally:
    """The counts behind an :class:`EngineReport`.

    Args:
        engine: the engine under test.
        register: known findings.
    """

    def __init__(self, engine: Engine, register: Register) -> None:
        self._engine, self.register = engine, register
        self._cases = 0
        self._tried: Counter[Capability] = Counter()
        self._broken: dict[Capability, list[str]] = defaultdict(list)
        self._oracles: dict[str, Counter[str]] = defaultdict(Counter)
        self._wrong: dict[tuple[str, ...], str] = {}
        self._causes: dict[tuple[str, ...], Cause] = {}
        self._known: set[str] = set()
        self._crashes: list[Crashes] = []
        self._damages = 0

    def add(self, result: CaseResult) -> None:
        """Counts the judgements of a case."""
        self._cases += 1
        self._known |= set(result.known)
        for judgement in result.judgements:
            self._oracles[judgement.oracle][_column(judgement)] += 1
            if judgement.known is None and judgement.verdict in (Verdict.HOLDS, Verdict.VIOLATED):
                self._count_capabilities(judgement, result)
        if result.verdict is not Verdict.HOLDS:
            self._add_bad_case(result)

    def _add_bad_case(self, result: CaseResult) -> None:
        sites = [fault.site for fault in result.case.plan]
        oracles = (judgement.oracle for judgement in result.judgements if judgement.counts is not Verdict.HOLDS)
        text = result.explain()
        self._wrong.setdefault((result.verdict.name, *sites, *oracles), text)
        decided = decisive(result.judgements, result.verdict)
        key = (result.verdict.name, decided.oracle, without_particulars(decided.reason))
        cause = self._causes.setdefault(key, Cause(f"{result.verdict.name} {decided.oracle}: {claim_of(decided.oracle)}"))
        cause.add(sites or ["no fault at all"], text, (len(sites), len(str(result.case.plan))))

    def _count_capabilities(self, judgement: Judgement, result: CaseResult) -> None:
        about = set(needed(judgement, result.evidence)) | _of_calling(result.case, judgement.oracle)
        # Where a claim takes several capabilities and the engine lacks some, the missing ones explain the violation.
        blamed = (about - self._engine.capabilities) or about
        for capability in about:
            self._tried[capability] += 1
            if judgement.verdict is Verdict.VIOLATED and capability in blamed:
                self._broken[capability].append(f"{judgement.oracle}: {cut(judgement.reason, 300)}\n    {result.replay_line()}")

    def add_crashes(self, crashes: Crashes) -> None:
        """Counts what crashes leave."""
        self._crashes.append(crashes)
        if crashes.model != "kill":  # a kill takes away nothing that the system holds
            self._tried[Capability.DURABLE_COMMIT] += 1
        if crashes.scene.overwrite:
            self._tried[Capability.ATOMIC_OVERWRITE] += 1
        known = crashes.known(self.register)
        for claim, shown, capability in crashes.violated():
            self._add_violation(claim, shown, capability, known, crashes.replay_line(self.register.files))

    def add_damages(self, damages: Damages) -> None:
        """Counts what damage to stored files does."""
        self._damages += len(damages.found)
        self._tried[Capability.CHECKSUMS] += len(damages.found)
        for damaged in damages.broken():
            self._add_violation(damaged.claim, damaged.shown, damaged.needs, {}, damages.replay_line(), f", with {damaged.what}")

    def add_failure(self, reason: str) -> None:
        """Counts a refusal to record crashes, although the engine claims a file system."""
        self._broken[Capability.FILE_SYSTEM].append(reason)
        self._wrong.setdefault((reason,), reason)
        self._causes.setdefault((reason,), Cause("crashes cannot be tried, though the engine claims a file system")).add(["crashes"], reason)

    def _add_violation(
        self, claim: str, shown: Shown, capability: Capability | None, known: Mapping[Shown, str], replay_line: str, detail: str = ""
    ) -> None:
        example = f"a reader may get {shown}{detail}\n    {replay_line}"
        text = f"{claim}: {example}"
        is_owed = capability is None or capability in self._engine.capabilities
        if shown in known:
            self._known.add(known[shown])
        elif is_owed:
            self._wrong.setdefault((claim, shown, detail), text)
            self._causes.setdefault((claim,), Cause(f"VIOLATED: {claim}")).add([f"a reader may get {shown}"], example)
        if capability is not None and not (is_owed and shown in known):
            self._broken[capability].append(text)

    def report(self, name: str) -> EngineReport:
        """Returns the report on the engine, which is called ``name``."""
        claims = []
        for capability in Capability:
            broken = tuple(dict.fromkeys(self._broken[capability]))
            claims.append(Claim(capability, capability in self._engine.capabilities, self._tried[capability], broken))
        return EngineReport(
            engine=name,
            cases=self._cases,
            claims=tuple(claims),
            oracles={oracle: dict(counts) for oracle, counts in self._oracles.items()},
            wrong=tuple(self._wrong.values()),
            causes=tuple(self._causes.values()),
            known=tuple(sorted(self._known)),
            crashes=tuple(self._crashes),
            damages=self._damages,
        )


def _column(judgement: Judgement) -> str:
    """The column in which a judgement is counted: its verdict, ``known`` or ``not claimed``."""
    if judgement.known:
        return "known"
    if not judgement.claimed and judgement.verdict is Verdict.VIOLATED:
        return "not claimed"
    return judgement.verdict.name


def _of_calling(case: Case, oracle: str) -> set[Capability]:
    """The capabilities that a judgement is about because of how the case calls the engine, beyond what its oracle needs."""
    if oracle not in _OF_PROPAGATION:
        return set()
    if case.way == "no_collectives":
        return {Capability.WITHOUT_COLLECTIVES}
    capabilities = {Capability.COLLECTIVES}
    if case.coordinator:
        capabilities.add(Capability.ANY_COORDINATOR)
    if case.plan.strikes_disk:
        capabilities.add(Capability.FILE_SYSTEM)
    if case.plan.strikes_network:
        capabilities.add(Capability.OBJECT_STORE)
    return capabilities
