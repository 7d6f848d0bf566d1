"""One call that tries what the harness has on an engine, and says everything that is wrong with it at once. It needs no pytest.

Capabilities are checked, not believed: a claim that does not hold is a violation, and a capability that holds and is not claimed is told.

Not tried: all that can befall an async save, kinds of planner, several groups and pairs of faults, which have sweeps of their own; what takes real
processes; and capabilities of calling that are not claimed (they cannot be called).
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ckpt_harness.campaigns.crashes import Crashes, crashes
from ckpt_harness.campaigns.damage import Damages, damages
from ckpt_harness.campaigns.recording import Scene
from ckpt_harness.campaigns.sweep import Sweep, plan_sweep
from ckpt_harness.cases.case import Case, usual_world
from ckpt_harness.cases.result import CaseResult
from ckpt_harness.cases.rig import Rig
from ckpt_harness.disk.durability import LIMIT, MODELS
from ckpt_harness.disk.shown import Shown
from ckpt_harness.engines.base import Engine
from ckpt_harness.engines.names import find_engine
from ckpt_harness.errors import UsageError
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.findings.register import Register
from ckpt_harness.judging.capabilities import needed
from ckpt_harness.judging.verdict import Verdict

_TOLD = ("bounded", "agreement", "attribution")
"""Oracles that say whether ranks learn of each other's failures."""


@dataclass(frozen=True)
class Claim:
    """What was found of a capability.

    Attributes:
        capability: which.
        claimed: whether the engine claims it.
        tried: how many judgements were about it.
        broken: what contradicts it, each with the line that replays it.
    """

    capability: Capability
    claimed: bool
    tried: int
    broken: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """``holds``, ``VIOLATED``, ``not claimed``, ``not claimed, though it held``, or ``not tried``."""
        if not self.tried:
            return "not tried"
        if self.claimed:
            return "VIOLATED" if self.broken else "holds"
        return "not claimed" if self.broken else "not claimed, though it held"


@dataclass(frozen=True)
class EngineReport:
    """Everything that is wrong with an engine.

    Attributes:
        engine: its name.
        cases: how many were run.
        claims: one for each capability.
        oracles: name -> verdict -> of how many judgements; ``known`` and ``not claimed`` are counted apart from the verdicts.
        wrong: what counts against it: an explanation each, alike ones once, with the line that replays it.
        known: ids of the findings that showed.
        crashes: what crashes leave, under each model, fresh and overwriting; none where its disk cannot be reached.
        damages: how many times a stored file was damaged; 0 where it stores elsewhere than in a directory.
    """

    engine: str
    cases: int
    claims: tuple[Claim, ...]
    oracles: Mapping[str, Mapping[str, int]]
    wrong: tuple[str, ...]
    known: tuple[str, ...]
    crashes: tuple[Crashes, ...]
    damages: int

    @property
    def ok(self) -> bool:
        """Whether nothing counts against it."""
        return not self.wrong

    def to_json(self) -> dict[str, Any]:
        """Plain data, with the version of torch, as ``docs/ENGINES.md`` is made of."""
        return {
            "engine": self.engine,
            "torch": importlib.metadata.version("torch").partition("+")[0],
            "cases": self.cases,
            "crashes": sum(one.judged for one in self.crashes),
            "damages": self.damages,
            "claims": {one.capability.value: one.verdict for one in self.claims},
            "oracles": {name: dict(counts) for name, counts in self.oracles.items()},
            "known": list(self.known),
            "wrong": list(self.wrong),
        }

    def __str__(self) -> str:
        lines = [f"{self.engine}: {self.cases} cases, {sum(one.judged for one in self.crashes)} states after crashes, {self.damages} damaged files"]
        lines += [f"  {one.capability.value}: {one.verdict}" for one in self.claims]
        lines += [f"known findings: {', '.join(self.known)}"] if self.known else []
        lines += ["nothing counts against it"] if self.ok else [f"{len(self.wrong)} different things are wrong:", *self.wrong]
        return "\n".join(lines)


def check_engine(
    engine: str | Engine,
    *,
    ranks: Sequence[int] = (2,),
    register: Register | None = None,
    every: int = 1,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> EngineReport:
    """Fails every call that an engine makes, damages what it stores, crashes it everywhere, and judges all of it.

    Args:
        engine: its name, ``module:object`` or ``file.py:object``; or an engine that is found by its own name.
        ranks: sizes of world.
        register: known findings; by default those that ship with the harness.
        every: try one of so many faults only, evenly spread, and as small a part of the states after each crash, where a storage is slow;
            what is undisturbed is always tried.
        jobs: processes that states after crashes are spread over.
        progress: told how many cases of how many are done.

    Raises:
        UsageError: no such engine, or one whose name does not lead to it.
    """
    name = engine if isinstance(engine, str) else engine.name
    found = find_engine(name)
    if not isinstance(engine, str) and found is not engine:
        raise UsageError(f"engine {name!r} is found as {found!r}; give it the name module:object, so that replay lines find it")
    known = Register.shipped() if register is None else register
    tally = _Tally(found, known)
    with Rig(register=known) as rig:
        cases = [case for sweep in _sweeps(name, found, tuple(ranks)) for case in plan_sweep(sweep, rig)[0]]
        cases += _ways(name, found, tuple(ranks))
        cases = [case for number, case in enumerate(dict.fromkeys(cases)) if not case.plan or number % every == 0]
        for number, case in enumerate(cases, 1):
            tally.add(rig.run(case))
            progress(number, len(cases))
    recorded = Capability.FILE_SYSTEM in found.capabilities and "way" not in found.usual and "://" not in found.place(rig.root, "x")
    for model in MODELS if recorded else ():
        for overwrite in (False, True):
            try:
                tally.add_crashes(crashes(Scene(name, ranks=max(ranks), overwrite=overwrite), model, limit=max(1, LIMIT // every), jobs=jobs))
            except UsageError as error:  # it writes past its file system, say: all else that was found is still to be told
                tally.add_failure(str(error))
    if "://" not in found.place(rig.root, "x"):
        for size in ranks:
            with contextlib.suppress(UsageError):  # what cannot even be saved was told by the cases already
                tally.add_damages(damages(name, size))
    return tally.report(name)


def _sweeps(name: str, engine: Engine, sizes: tuple[int, ...]) -> Iterator[Sweep]:
    plain = Sweep(("save", "load"), sizes, engine=name, world=usual_world(name))
    yield plain
    yield dataclasses.replace(plain, operations=("save",), onto="checkpoint")
    if Capability.FILE_SYSTEM in engine.capabilities:
        yield dataclasses.replace(plain, disk=True)
        yield dataclasses.replace(plain, operations=("save",), disk=True, onto="checkpoint")
    if Capability.OBJECT_STORE in engine.capabilities:
        yield dataclasses.replace(plain, network=True)


def _ways(name: str, engine: Engine, sizes: tuple[int, ...]) -> Iterator[Case]:
    """The ways of calling that an engine claims, and saves in the background, undisturbed and with a rank that fails."""
    fails = "writer.write_data" if engine.protocol.step_of("writer.write_data", "save") else "writer.prepare_local_plan"
    for size in sizes:
        for plan, operation in (("", "save"), ("", "load"), (f"{fails}@{size - 1}=raise(OSError:EIO)", "save")):
            case = Case(FaultPlan.parse(plan), "load" if operation == "load" else "save", size, engine=name, world=usual_world(name))
            if Capability.ANY_COORDINATOR in engine.capabilities:
                yield dataclasses.replace(case, coordinator=size - 1)
            if Capability.WITHOUT_COLLECTIVES in engine.capabilities:
                yield dataclasses.replace(case, way="no_collectives")
            if operation == "save" and "async_save" in engine.protocol.operations:
                yield dataclasses.replace(case, operation="async_save", staging="blocking")


class _Tally:
    def __init__(self, engine: Engine, register: Register) -> None:
        self._engine, self._register = engine, register
        self._cases = 0
        self._tried: Counter[Capability] = Counter()
        self._broken: dict[Capability, list[str]] = defaultdict(list)
        self._oracles: dict[str, Counter[str]] = defaultdict(Counter)
        self._wrong: dict[tuple[str, ...], str] = {}
        self._known: set[str] = set()
        self._crashes: list[Crashes] = []
        self._damages = 0

    def add(self, result: CaseResult) -> None:
        """Counts what the oracles said of a case."""
        self._cases += 1
        self._known |= set(result.known)
        for one in result.judgements:
            stands = "known" if one.known else one.verdict.name if one.claimed else "not claimed" if one.verdict is Verdict.VIOLATED else one.verdict.name
            self._oracles[one.oracle][stands] += 1
            about = set(needed(one, result.evidence)) | self._of_calling(result.case, one.oracle)
            if one.known is not None or one.verdict not in (Verdict.HOLDS, Verdict.VIOLATED):
                continue
            # Where several are needed and some are not claimed, those are what is missing.
            blamed = (about - self._engine.capabilities) or about
            for capability in about:
                self._tried[capability] += 1
                if one.verdict is Verdict.VIOLATED and capability in blamed:
                    self._broken[capability].append(f"{one.oracle}: {one.reason[:300]}\n    {result.replay_line()}")
        if result.verdict is not Verdict.HOLDS:
            sites = (fault.site for fault in result.case.plan)
            alike = (result.verdict.name, *sites, *(one.oracle for one in result.judgements if one.counts is not Verdict.HOLDS))
            self._wrong.setdefault(alike, result.explain())

    def _of_calling(self, case: Case, oracle: str) -> set[Capability]:
        """The capabilities of calling that a case is about, beyond what its oracles need."""
        if oracle not in _TOLD:
            return set()
        if case.way == "no_collectives":
            return {Capability.WITHOUT_COLLECTIVES}
        found = {Capability.COLLECTIVES} | ({Capability.ANY_COORDINATOR} if case.coordinator else set())
        found |= {Capability.FILE_SYSTEM} if case.plan.strikes_disk else set()
        return found | ({Capability.OBJECT_STORE} if case.plan.strikes_network else set())

    def add_crashes(self, found: Crashes) -> None:
        """Counts what crashes leave."""
        self._crashes.append(found)
        known = found.known(self._register)
        owed = {Capability.DURABLE_COMMIT} if found.model != "kill" else set()  # what the system has, a kill cannot take away
        owed |= {Capability.ATOMIC_OVERWRITE} if found.scene.overwrite else set()
        self._tried.update(owed)
        for claim, kind, capability in found.violated():
            self._add_violation(claim, kind, capability, known, found.replay_line(self._register.files))

    def add_damages(self, found: Damages) -> None:
        """Counts what damage to stored files does."""
        self._damages += len(found.found)
        self._tried[Capability.CHECKSUMS] += len(found.found)
        for one in found.broken():
            self._add_violation(f"{one.claim}: with {one.what}", one.shown, one.needs, {}, found.replay_line())

    def add_failure(self, why: str) -> None:
        """Counts that crashes cannot be told."""
        self._broken[Capability.FILE_SYSTEM].append(why)
        self._wrong.setdefault((why,), why)

    def _add_violation(self, claim: str, kind: Shown, capability: Capability | None, known: Mapping[Shown, str], line: str) -> None:
        told = f"{claim}: a reader may get {kind}\n    {line}"
        counts = capability is None or capability in self._engine.capabilities
        if kind in known:
            self._known.add(known[kind])
        elif counts:
            self._wrong.setdefault((claim, kind), told)
        if capability is not None and not (counts and kind in known):
            self._broken[capability].append(told)

    def report(self, name: str) -> EngineReport:
        """What was found."""
        claims = tuple(
            Claim(one, one in self._engine.capabilities, self._tried[one], tuple(dict.fromkeys(self._broken[one]))) for one in Capability
        )
        oracles = {oracle: dict(counts) for oracle, counts in self._oracles.items()}
        return EngineReport(name, self._cases, claims, oracles, tuple(self._wrong.values()), tuple(sorted(self._known)), tuple(self._crashes), self._damages)
