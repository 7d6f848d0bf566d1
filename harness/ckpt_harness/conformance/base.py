"""What the tests of the kit share: what a class says of its storage, and how a test insists on a claim."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

import pytest

from ckpt_harness.campaigns.sweep import Sweep
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.result import CaseResult
from ckpt_harness.conformance.engine import Storage, StorageEngine, claimed
from ckpt_harness.conformance.unclaimed import UNCLAIMED, asked
from ckpt_harness.errors import OracleViolation
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.faults.sites import OperationKind
from ckpt_harness.findings.register import Register
from ckpt_harness.judging.capabilities import needed
from ckpt_harness.judging.verdict import Judgement, Verdict

RANKS = 2
"""Ranks of a test that is not about their number: the fewest among which an error can get lost."""

_OF_CALLING = frozenset({Capability.COLLECTIVES, Capability.ANY_COORDINATOR, Capability.WITHOUT_COLLECTIVES})
"""Capabilities that a test as a whole is about, whatever its oracles need."""
_T = TypeVar("_T")


class Runner(Protocol):
    """``ckpt_rig``, as the kit needs it."""

    register: Register

    def run(self, case: Case, known: Register | None = None) -> CaseResult:
        """Runs a case and judges it, with known findings beside those of the session."""

    def cases(self, sweep: Sweep) -> Sequence[Case]:
        """The cases of a sweep."""


class Kit:
    """A storage under test.

    Args:
        describes: the class that describes it.
        rig: runs cases.
        note: adds a property to the test's report.
    """

    def __init__(self, describes: type[Conformance], rig: Runner, note: Callable[[str, object], None]) -> None:
        self._describes, self._rig, self._note = describes, rig, note
        self.engine: StorageEngine = describes.engine
        self.known = _register_of(describes)

    def case(self, plan: str, operation: OperationKind, ranks: int = RANKS, **settings: Any) -> Case:
        """A case on the storage."""
        return Case(FaultPlan.parse(plan), operation, ranks, engine=self.engine.name, **settings)

    def run(self, case: Case) -> CaseResult:
        """Runs a case once in a session, for all the claims about it."""
        return self.once(case, lambda: self._rig.run(case, self.known))

    def swept(self, sweep: Sweep, wanted: Callable[[Case], bool]) -> list[CaseResult]:
        """Runs those cases of a sweep that a test wants; skips the test where there are none."""
        engine = self.engine.name
        cases = self.once(sweep, lambda: self._rig.cases(replace(sweep, sizes=(RANKS,), engine=engine)))
        found = [self.run(case) for case in cases if case.plan and wanted(case)]
        if not found:
            pytest.skip("the storage never calls this")
        return found

    def once(self, key: object, make: Callable[[], _T]) -> _T:
        """What ``make`` gives, made once in a session."""
        made = _MADE.setdefault(self._rig, {})
        whole = (self._describes, key)
        if whole not in made:
            made[whole] = make()
        kept: _T = made[whole]
        return kept

    def needs(self, capability: Capability) -> None:
        """Skips a test of a capability that cannot even be tried unless it is claimed."""
        if not self.claims(capability):
            pytest.skip(f"not claimed: {capability.value!r}")

    def claims(self, capability: Capability) -> bool:
        """Whether the storage claims a capability."""
        return capability in self.engine.capabilities

    def hold(self, results: Iterable[CaseResult], *oracles: str, about: Capability | None = None) -> None:
        """Insists on what oracles say. A known finding is an expected failure.

        Args:
            results: of the cases.
            oracles: names of those that are asked; all, where none is named.
            about: the capability that the test is about. What breaks it does not count where it is not claimed.

        Raises:
            OracleViolation: a claim does not hold; with the evidence, and the line that replays it.
        """
        __tracebackhide__ = True
        seen = [(result, one) for result in results for one in result.judgements if not oracles or one.oracle in oracles]
        beside = about if about is not None and not self.claims(about) else None
        bad = {result.case: result for result, one in seen if one.counts is not Verdict.HOLDS and not _is_about(beside, one, result)}
        if bad:
            others = f"and {len(bad) - 1} more like it; the first:\n" if len(bad) > 1 else ""
            raise OracleViolation(f"{others}{next(iter(bad.values())).explain()}")
        if beside is not None:
            own = [one for result, one in seen if _is_about(beside, one, result)]
            if own:
                self.tell(beside, held=all(one.verdict is Verdict.HOLDS for one in own))
        self.expect(one.known for _, one in seen if one.known is not None)

    def expect(self, known: Iterable[str]) -> None:
        """Makes the test an expected failure, where it showed known findings."""
        ids = sorted(set(known))
        if ids:
            pytest.xfail(f"known: {', '.join(ids)}")

    def tell(self, capability: Capability, *, held: bool) -> None:
        """Skips the test of a capability that is not claimed, and keeps for the summary whether it held all the same."""
        self._note(UNCLAIMED, asked(self._describes.__name__, capability.value, held=held))
        pytest.skip(f"not claimed: {capability.value!r}{'; it held here' if held else ''}")

    @property
    def registers(self) -> Register:
        """All known findings: those of the session, and of the class."""
        return self._rig.register if self.known is None else self._rig.register + self.known


_MADE: WeakKeyDictionary[Runner, dict[Any, Any]] = WeakKeyDictionary()
"""What was made in each session; see :meth:`Kit.once`."""


def _is_about(capability: Capability | None, judgement: Judgement, result: CaseResult) -> bool:
    return capability is not None and (capability in _OF_CALLING or capability in needed(judgement, result.evidence))


def _register_of(describes: type[Conformance]) -> Register | None:
    """The findings that a class names, if it does; the file is found from where the class is defined."""
    if not describes.register:
        return None
    owner = next(one for one in describes.__mro__ if "register" in vars(one))
    file = sys.modules[owner.__module__].__file__
    assert file is not None, "a module that defines a class came from a file"
    path, here = Path(file).parent / describes.register, Path.cwd()
    return Register.read(path.relative_to(here) if path.is_relative_to(here) else path)


class _Engine:
    """Gives each conformance class its engine, the same every time."""

    def __init__(self) -> None:
        self._made: dict[type[Storage], StorageEngine] = {}

    def __get__(self, instance: object, owner: type[Storage]) -> StorageEngine:
        return self._made.setdefault(owner, StorageEngine(owner))


class Conformance:
    """What a class says of its storage.

    Attributes:
        capabilities: what the storage claims, by the values of :class:`ckpt_harness.faults.protocol.Capability`. What it does not claim is skipped, by name.
        register: a file of known findings of the storage's own, beside the class's module; "" for none.
        engine: DCP on this storage, as replay lines name it.
    """

    capabilities: Collection[str] = frozenset({"collectives", "commit marker"})
    register: str | Path = ""
    engine = _Engine()

    def make_writer(self, place: str) -> Any:
        """A ``StorageWriter`` for the directory ``place``, which may not exist yet; called once for each rank and operation."""
        raise NotImplementedError(f"{type(self).__name__} must say how to make its storage writer")

    def make_reader(self, place: str) -> Any:
        """A ``StorageReader`` for the directory ``place``, likewise."""
        raise NotImplementedError(f"{type(self).__name__} must say how to make its storage reader")

    def committed(self, place: str) -> bool:
        """Whether ``place`` holds a checkpoint that counts; by default, whether its metadata can be read."""
        try:
            self.make_reader(place).read_metadata()
        except Exception:  # noqa: BLE001  (what a reader raises for a checkpoint that is not there is its own affair)
            return False
        return True

    @pytest.fixture
    def kit(self, ckpt_rig: Runner, record_property: Callable[[str, object], None]) -> Kit:
        """The storage under test."""
        claimed(type(self))
        return Kit(type(self), ckpt_rig, record_property)
