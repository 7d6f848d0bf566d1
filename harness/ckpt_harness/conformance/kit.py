"""What every test of the kit uses: runs the cases of a storage, and asserts what its class claims."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, Protocol, TypeVar
from weakref import WeakKeyDictionary

import pytest

from ckpt_harness.campaigns.sweep import Sweep
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.result import CaseResult
from ckpt_harness.conformance.engine import StorageEngine
from ckpt_harness.conformance.unclaimed import UNCLAIMED, note
from ckpt_harness.errors import OracleViolation
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.faults.sites import OperationKind
from ckpt_harness.findings.register import Register
from ckpt_harness.judging.capabilities import needed
from ckpt_harness.judging.verdict import Judgement, Verdict

RANKS = 2
"""World size of a test that is not about the number of ranks: the smallest in which a peer can miss an error."""

_OF_CALLING = frozenset({Capability.COLLECTIVES, Capability.ANY_COORDINATOR, Capability.WITHOUT_COLLECTIVES})
"""Capabilities that every judgement of a test is about, whichever oracle gave the judgement."""
_T = TypeVar("_T")


class Runner(Protocol):
    """The part of the fixture ``ckpt_rig`` that the kit uses."""

    register: Register

    def run(self, case: Case, known: Register | None = None) -> CaseResult:
        """Runs and judges a case; ``known`` holds findings beside those of the session."""

    def cases(self, sweep: Sweep) -> Sequence[Case]:
        """Returns the cases of a sweep."""


class Kit:
    """Runs cases on a storage and asserts what the storage claims. A test gets it as the fixture ``kit``.

    Args:
        engine: DCP on the storage under test.
        owner: the class that describes the storage.
        known: known findings of the storage, from the class's own register; None where the class names no register.
        runner: runs the cases.
        add_property: adds a property to the report of the running test.
    """

    def __init__(
        self, engine: StorageEngine, owner: type, known: Register | None, runner: Runner, add_property: Callable[[str, object], None]
    ) -> None:
        self.engine = engine
        self._owner, self._known, self._runner, self._add_property = owner, known, runner, add_property

    def case(self, plan: str, operation: OperationKind, ranks: int = RANKS, **settings: Any) -> Case:
        """Returns a case on the storage; ``settings`` are further fields of :class:`ckpt_harness.Case`."""
        return Case(FaultPlan.parse(plan), operation, ranks, engine=self.engine.name, **settings)

    def run(self, case: Case) -> CaseResult:
        """Runs a case. Tests that ask for the same case share one run."""
        return self.once(case, lambda: self._runner.run(case, self._known))

    def run_sweep(self, sweep: Sweep, wanted: Callable[[Case], bool]) -> list[CaseResult]:
        """Runs the cases of a sweep that ``wanted`` accepts; skips the test if there are none."""
        on_storage = replace(sweep, sizes=(RANKS,), engine=self.engine.name)
        cases = self.once(sweep, lambda: self._runner.cases(on_storage))
        results = [self.run(case) for case in cases if case.plan and wanted(case)]
        if not results:
            pytest.skip("the storage never calls this site")
        return results

    def once(self, key: object, make: Callable[[], _T]) -> _T:
        """Returns what ``make`` returns; within a session, ``make`` is called once for each key."""
        kept = _KEPT.setdefault(self._runner, {})
        whole_key = (self._owner, key)
        if whole_key not in kept:
            kept[whole_key] = make()
        value: _T = kept[whole_key]
        return value

    def require(self, capability: Capability) -> None:
        """Skips the test if the storage does not claim a capability without which the test cannot run."""
        if not self.claims(capability):
            pytest.skip(f"not claimed: {capability.value!r}")

    def claims(self, capability: Capability) -> bool:
        """Whether the storage claims a capability."""
        return capability in self.engine.capabilities

    def check(self, results: Iterable[CaseResult], *oracles: str, about: Capability | None = None) -> None:
        """Asserts that claims hold. A known finding makes the test an expected failure.

        Args:
            results: what the cases came to.
            oracles: names of the oracles to ask; all oracles if none is named.
            about: the capability that the test is about. If the storage does not claim it, violations of it skip the test.

        Raises:
            OracleViolation: a claim does not hold; the message has the evidence and the replay line.
        """
        __tracebackhide__ = True
        judged = [
            (result, judgement) for result in results for judgement in result.judgements if not oracles or judgement.oracle in oracles
        ]
        unclaimed = about if about is not None and not self.claims(about) else None

        failed: dict[Case, CaseResult] = {}
        of_unclaimed: list[Judgement] = []
        for result, judgement in judged:
            if unclaimed is not None and _is_about(unclaimed, judgement, result):
                of_unclaimed.append(judgement)
            elif judgement.counts is not Verdict.HOLDS:
                failed.setdefault(result.case, result)
        if failed:
            first, *others = failed.values()
            heading = f"{len(failed)} cases failed; the first:\n" if others else ""
            raise OracleViolation(heading + first.explain())
        if unclaimed is not None and of_unclaimed:
            self.skip_unclaimed(unclaimed, held=all(judgement.verdict is Verdict.HOLDS for judgement in of_unclaimed))
        self.expect_known(judgement.known for _, judgement in judged if judgement.known is not None)

    def expect_known(self, ids: Iterable[str]) -> None:
        """Makes the test an expected failure if there are ids of known findings."""
        names = ", ".join(sorted(set(ids)))
        if names:
            pytest.xfail(f"known: {names}")

    def skip_unclaimed(self, capability: Capability, *, held: bool) -> None:
        """Skips a test of a capability that the storage does not claim.

        Args:
            capability: the capability.
            held: whether the capability held in this test; pytest's summary says so.
        """
        self._add_property(UNCLAIMED, note(self._owner.__name__, capability.value, held=held))
        pytest.skip(f"not claimed: {capability.value!r}{'; it held here' if held else ''}")

    @property
    def registers(self) -> Register:
        """All known findings: those of the session, and those of the class."""
        return self._runner.register if self._known is None else self._runner.register + self._known


_KEPT: WeakKeyDictionary[Runner, dict[Any, Any]] = WeakKeyDictionary()
"""Session -> what :meth:`Kit.once` made in it."""


def _is_about(capability: Capability, judgement: Judgement, result: CaseResult) -> bool:
    return capability in _OF_CALLING or capability in needed(judgement, result.evidence)
