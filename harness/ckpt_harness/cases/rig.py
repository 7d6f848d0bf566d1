"""The rig: what cases run on, and the way from a case to its result."""

from __future__ import annotations

import contextlib
import dataclasses
from pathlib import Path

from ckpt_harness.cases import printed
from ckpt_harness.cases.baseline import Baseline
from ckpt_harness.cases.binding import GROUP_TIMEOUT, BoundCase
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.owner import Owner
from ckpt_harness.cases.readings import Readings
from ckpt_harness.cases.result import CaseResult
from ckpt_harness.cases.run import Expecting, evidence_of_a_broken_hook, fault_free_course, run_case
from ckpt_harness.engines import hooks
from ckpt_harness.engines.kin import known_as
from ckpt_harness.errors import HookError, cannot_save
from ckpt_harness.findings.register import Register
from ckpt_harness.history import History
from ckpt_harness.judging import oracles
from ckpt_harness.judging.evidence import Evidence
from ckpt_harness.judging.expectation import Forecast
from ckpt_harness.judging.firings import NO_FIRINGS, Firings, may_pass_by
from ckpt_harness.judging.model import forecast
from ckpt_harness.judging.trace import Trace
from ckpt_harness.judging.verdict import Judgement, Verdict

_AGAIN = 2
"""Further runs in which a file must be left open before a case is charged with it."""


class Rig(Owner):
    """Runs cases and judges them. Use it as a context manager: it owns a temporary directory.

    A rig is reused from case to case. It keeps what many cases share: the committed checkpoints that they find, and the courses without faults
    that the model needs. To make those anew would be most of the cost of a case.

    Args:
        root: directory to work in; a temporary one by default.
        register: known findings; by default those that ship with the harness.
        readings: where what readers got is kept, so that cases do not read equal content again; by default each case reads for itself.

    Example:
        Runs one case, in about a second::

            with Rig() as rig:
                result = rig.run(Case(FaultPlan.parse("writer.write_data@1=raise(OSError:EIO)")))
            print(result.explain())
    """

    def __init__(self, root: Path | None = None, register: Register | None = None, readings: Readings | None = None) -> None:
        self.register = Register.shipped() if register is None else register
        super().__init__(root)
        self._traces: dict[Case, Trace] = {}
        self._readings = readings

    @property
    def root(self) -> Path:
        """The directory that the rig works in."""
        return self._workspace.root

    def run(self, case: Case | BoundCase) -> CaseResult:
        """Runs a case and judges it.

        Args:
            case: the case; it is bound first unless it is bound already.

        Raises:
            PlanError: the plan does not fit the world; nothing has run.
            UsageError: an unknown name, or a combination that cannot run.
        """
        bound = _bound(case)
        printed.begin()
        evidence, history = self._observed(bound)
        output = printed.so_far()
        return CaseResult(bound.case, evidence, self._judged(bound, evidence), history, self.register.files, output)

    def _observed(self, bound: BoundCase) -> tuple[Evidence, History]:
        """Runs a case, and runs it again if it has left files open outside of its directory.

        A library that keeps a file open for good opens it once, while an engine that leaks leaves a file open in each run.
        """
        evidence, history = self._observed_once(bound)
        if not evidence.opened_elsewhere:
            return evidence, history
        if all(self._observed_once(bound)[0].opened_elsewhere for _ in range(_AGAIN)):
            texts = tuple(f"each run leaves a file open: {path}" for path in evidence.opened_elsewhere)
            evidence = dataclasses.replace(evidence, left=(*evidence.left, *texts))
        return evidence, history

    def _observed_once(self, bound: BoundCase) -> tuple[Evidence, History]:
        """Runs a case. Where a hook of the engine raises, nothing that was observed means anything."""
        evidence, history = Evidence(Forecast((), frozenset()), {}), History()
        with hooks.noted() as failures, contextlib.suppress(HookError):
            evidence, history = run_case(bound, self._expecting(bound), self._workspace, self._baselines, self._readings)
        return (evidence_of_a_broken_hook(bound, failures[0]), history) if failures else (evidence, history)

    def _expecting(self, bound: BoundCase) -> Expecting:
        """Says how the operations of a case have to end. Where some faults strike (see :class:`.Firings`), only the history shows."""
        trace = self.trace(bound)

        def owed(firings: Firings) -> Forecast:
            says = forecast(bound.plan, trace, timeout=GROUP_TIMEOUT, firings=firings)
            return says.refusable() if bound.asks_for_less else says

        before = owed(NO_FIRINGS)
        certain = len(bound.case.operations) == 1 or all(fault.operation is not None for fault in bound.case.plan)
        certain = certain and not any(may_pass_by(fault.effect) for fault in bound.case.plan)
        return lambda history: before if certain or history is None else owed(Firings.of(history))

    def check_undisturbed(self, case: Case | BoundCase) -> None:
        """Insists that the engine can save while nothing goes wrong: otherwise no case means anything.

        Raises:
            EngineError: the engine cannot save, or one of its hooks raises.
        """
        bound = _bound(case)
        failed = [f"rank {rank}: {outcome}" for rank, outcome in self.baseline(bound).outcomes.items() if outcome.kind != "returned"]
        if failed:
            raise cannot_save(bound.case.engine, failed)

    def _judged(self, bound: BoundCase, evidence: Evidence) -> tuple[Judgement, ...]:
        """What each oracle says, with known findings marked."""
        judgements = oracles.judge(evidence)
        if any(judgement.verdict is not Verdict.HOLDS for judgement in judgements):
            for name, replaced in known_as(bound.case.engine):
                judgements = self.register.mark(judgements, name, evidence, replaced)
        return tuple(judgements)

    def trace(self, case: Case | BoundCase) -> Trace:
        """Returns the sites that each rank calls in a case without faults. The course is run once, and remembered.

        Each of two saves at once makes the calls that it makes alone, and alone its collectives meet those of no other save.
        """
        bound = _bound(case)
        if bound.case.overlap != "none":
            alone = self.trace(dataclasses.replace(bound.case.without_faults(), overlap="none"))
            return alone.for_each(bound.case.operations) if alone.moments else alone
        free = bound.case.without_faults()
        if free not in self._traces:
            self._traces[free] = fault_free_course(bound.without_faults(), self._workspace, self._baselines)
        return self._traces[free]

    def baseline(self, case: Case | BoundCase) -> Baseline:
        """Returns the committed checkpoints that a case finds. They are saved once for all cases of one kind."""
        return self._baselines.of(_bound(case))


def _bound(case: Case | BoundCase) -> BoundCase:
    return case if isinstance(case, BoundCase) else case.bind()
