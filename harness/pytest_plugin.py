"""The pytest plugin: ranks without a launcher, cases with their replay lines, and the failure matrix in the summary.

Fixtures: ``ckpt_world`` runs a body of yours on simulated ranks; ``ckpt_worlds`` makes such worlds and ``ckpt_rig`` runs whole cases, both for the
session, so that hypothesis may call a test many times with them. A test that uses none of them, nor the mark or the options, pays nothing:
everything is imported when it is first needed.
"""

from __future__ import annotations

import contextlib
import io
import logging
import os
import pickle
import shlex
import shutil
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from rich.console import RenderableType

    from harness._inject import Firing
    from harness.case import Case, CaseResult
    from harness.findings.register import Register
    from harness.plan import FaultPlan
    from harness.record import Record
    from harness.rig import Rig
    from harness.worlds.base import RankResult

FIXTURES = frozenset({"ckpt_world", "ckpt_worlds", "ckpt_rig"})
PROFILE_VARIABLE = "CKPT_HARNESS_PROFILE"
_RANKS = 2
"""Ranks of a ``ckpt_world`` without a mark: the fewest among which an error can get lost."""
_SECTION = "checkpoint-harness"
_OUTPUT = "ckpt_harness_records"
"""Key under which an xdist worker hands its records to the controller."""


# -- what a test gets


def assert_case(result: CaseResult) -> None:
    """Insists that every claim holds. A known finding is an expected failure; under ``@given``, where one case says little, it is accepted.

    Raises:
        OracleViolation: a verdict of VIOLATED, VACUOUS or UNKNOWN; the message has the evidence and the replay line.
    """
    __tracebackhide__ = True
    result.check()
    if result.known and not _under_given():
        pytest.xfail(f"known: {', '.join(result.known)}")


def _under_given() -> bool:
    hypothesis = sys.modules.get("hypothesis")
    return hypothesis is not None and bool(hypothesis.currently_in_test_context())


class CkptRig:
    """Runs cases for tests, and keeps their records for the summary.

    Args:
        rig: what runs them.
        state: what is kept.
    """

    def __init__(self, rig: Rig, state: _State) -> None:
        self._rig, self._state = rig, state

    def run(self, case: Case) -> CaseResult:
        """Runs a case and judges it. With ``--ckpt-seed``, a case that names no seed runs in that order.

        Raises:
            PlanError: the plan does not fit; nothing has run.
            UsageError: an unknown name, or a combination that cannot run.
        """
        from harness.record import Record

        case = replace(case, seed=case.seed or self._state.seed)
        started = time.perf_counter()
        with _quiet():
            result = self._rig.run(case)
        covered = self._rig.register.covered(case.engine, result.evidence)
        self._state.ran_case(Record.of(result, covered, time.perf_counter() - started))
        return result

    def check(self, case: Case) -> CaseResult:
        """Runs a case and insists that every claim holds; see :func:`assert_case`."""
        __tracebackhide__ = True
        result = self.run(case)
        assert_case(result)
        return result


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Silences what engines log and warn about faults that were injected on purpose."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


@dataclass(frozen=True)
class RankResults(Sequence["RankResult"]):
    """How each rank ended: a sequence in rank order.

    Attributes:
        results: one a rank.
        plan: what was injected.
        coordinator: the rank that coordinated.
        fired: the faults that fired, in order.
    """

    results: tuple[RankResult, ...]
    plan: FaultPlan
    coordinator: int
    fired: tuple[Firing, ...]

    def __getitem__(self, index: Any) -> Any:
        return self.results[index]

    def __len__(self) -> int:
        return len(self.results)

    @property
    def outcomes(self) -> tuple[str, ...]:
        """``returned``, ``raised``, ``hung`` or ``dead``, rank by rank."""
        return tuple(result.outcome for result in self)

    @property
    def values(self) -> tuple[Any, ...]:
        """What the body returned, rank by rank; None where it did not."""
        return tuple(result.value for result in self)

    def assert_propagated(self) -> None:
        """Insists that every rank was told of the injected faults, exactly; see :func:`harness.assert_propagated`.

        Raises:
            OracleViolation: a rank was not, or was told something else.
        """
        from harness.assertions import assert_propagated
        from harness.errors import OracleViolation

        __tracebackhide__ = True
        for result in self:
            if result.error is None:
                raise OracleViolation(f"plan {str(self.plan)!r} was not told to rank {result.rank}:\n{_told(self)}")
            assert_propagated(result.error, self.plan, world_size=len(self), coordinator=self.coordinator)


class CkptWorld:
    """Simulated ranks for a body of yours.

    Args:
        ranks: how many.
        seed: of the order in which they run.
    """

    def __init__(self, ranks: int, seed: int) -> None:
        self.ranks, self.seed = ranks, seed

    def run(self, body: Callable[..., Any], *args: Any, plan: FaultPlan | str = "", coordinator: int = 0) -> RankResults:
        """Calls ``body(*args)`` on every rank, inside a process group of all, while the faults of ``plan`` strike whatever DCP saves and loads.

        Args:
            body: what each rank does. What it raises, ``CheckpointException`` too, is the rank's result.
            args: its arguments.
            plan: the faults, or their text. Faults of collectives (``pg.*``) work here.
            coordinator: the rank that coordinates, where ``body`` names another than 0.

        Returns:
            How each rank ended: returned, raised, hung (proved, with where it waits for whom), or dead.

        Raises:
            PlanError: the plan does not fit; nothing has run.
            OracleViolation: a fault that could fire never did, so the test shows nothing. One that need not fire ends in ``?``.
        """
        from harness._inject import Injector
        from harness.errors import OracleViolation
        from harness.history import History
        from harness.interception import intercepted
        from harness.plan import as_plan
        from harness.worlds.simulated import SimulatedWorld

        __tracebackhide__ = True
        faults = as_plan(plan)
        faults.bind(self.ranks, coordinator)
        history = History()
        injector = Injector(faults, coordinator=coordinator, history=history)
        with intercepted(injector):
            endings = SimulatedWorld(self.ranks, seed=self.seed).run(body, *args, faults=injector)
        results = RankResults(tuple(endings), faults, coordinator, injector.fired)
        if injector.internal_errors:
            raise OracleViolation(f"UNKNOWN: the harness broke: {'; '.join(injector.internal_errors)}")
        _assert_fired(results, dict.fromkeys(event.operation for event in history if event.kind == "begin"))
        return results


def _assert_fired(results: RankResults, operations: Iterable[str]) -> None:
    """Respx's rule: what was declared and never hit fails the test, unless the model says that an earlier failure stood before it."""
    from harness.errors import OracleViolation
    from harness.expectation import forecast
    from harness.trace import Trace

    __tracebackhide__ = True
    bound = results.plan.bind(len(results), results.coordinator)
    expected = forecast(bound, Trace.nominal(operations, len(results), results.coordinator, bound.protocol))
    owed = expected.unreachable.union(*(one.must_fire for one in expected.expectations))
    optional = {str(fault) for fault in results.plan if fault.optional}
    missed = sorted(owed - {(firing.fault, firing.rank) for firing in results.fired})
    never = [f"{text} never fired on rank {rank}" for text, rank in missed if text not in optional]
    if never:
        raise OracleViolation(f"VACUOUS: {'; '.join(never)}\n{_told(results)}")


def _told(results: Sequence[RankResult]) -> str:
    endings = {result.rank: f" {result.record or result.wait or ''}".rstrip() for result in results}
    return "\n".join(f"rank {result.rank}: {result.outcome}{endings[result.rank]}" for result in results)


@pytest.fixture(scope="session")
def ckpt_worlds(pytestconfig: pytest.Config) -> Callable[[int], CkptWorld]:
    """Makes worlds of simulated ranks: ``ckpt_worlds(4).run(body, plan=...)``. Lives as long as the session, so it may be used under ``@given``."""
    state = _state(pytestconfig)
    state.used = True
    return lambda ranks: CkptWorld(ranks, state.seed)


@pytest.fixture
def ckpt_world(request: pytest.FixtureRequest, ckpt_worlds: Callable[[int], CkptWorld]) -> CkptWorld:
    """A world of simulated ranks, as many as ``@pytest.mark.ckpt_ranks`` says, else 2."""
    mark = request.node.get_closest_marker("ckpt_ranks")
    if mark is None:
        return ckpt_worlds(_RANKS)
    if len(mark.args) != 1 or mark.kwargs or not isinstance(mark.args[0], int) or mark.args[0] < 1:
        raise pytest.UsageError(f"ckpt_ranks takes a number of ranks, at least 1, as in @pytest.mark.ckpt_ranks(4); got {mark.args!r}")
    return ckpt_worlds(mark.args[0])


@pytest.fixture(scope="session")
def ckpt_rig(pytestconfig: pytest.Config) -> Iterator[CkptRig]:
    """Runs cases: ``ckpt_rig.check(Case(plan=..., ranks=3))``. Lives as long as the session, so it may be used under ``@given``."""
    from harness.rig import Rig

    state = _state(pytestconfig)
    state.used = True
    with Rig(register=state.register()) as rig:
        yield CkptRig(rig, state)


# -- what the session keeps


class _State:
    """What a session keeps: the options, and the records of the cases that ran.

    Attributes:
        seed: of the order in which ranks run.
        used: whether any test of this process asked for a fixture of ours.
        records: of all cases that count, in the order in which they ran.
    """

    def __init__(self, config: pytest.Config) -> None:
        self.seed: int = config.getoption("ckpt_seed") or 0
        self._file: Path | None = config.getoption("ckpt_register")
        self.used = False
        self.records: list[Record] = []
        self._of_test: list[Record] = []
        self._bad: dict[str, Record] = {}

    def register(self) -> Register:
        """The shipped findings, and those of ``--ckpt-register``.

        Raises:
            pytest.UsageError: the file cannot be read.
        """
        from harness.errors import UsageError
        from harness.findings.register import Register

        try:
            return Register.shipped() + Register.read(self._file) if self._file else Register.shipped()
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None

    def ran_case(self, record: Record) -> None:
        """Keeps a record until it is known how its test ended."""
        self._of_test.append(record)

    def test_ended(self, item: pytest.Item, report: pytest.TestReport) -> None:
        """Keeps what the test's cases came to, and makes sure that a failure tells how to replay it, once.

        A violation counts if a test failed of it: not the many that hypothesis met while it shrank one, nor those that a test asked for.
        """
        ran, self._of_test = self._of_test, []
        if report.failed and FIXTURES.intersection(getattr(item, "fixturenames", ())) and not _replay_lines(report):
            # The test has an assertion of its own: about the last case that it ran, or about a body that only it can run.
            line = ran[-1].case.replay_line() if ran else shlex.join(["pytest", item.nodeid, "--ckpt-seed", str(self.seed)])
            report.sections.append((_SECTION, line))
        self.records += [record for record in ran if not record.verdict]
        self._bad.update({record.case.replay_line(): record for record in ran if record.verdict})
        for line in _replay_lines(report) if report.failed else ():
            if line in self._bad:
                self.records.append(self._bad.pop(line))


def _replay_lines(report: pytest.TestReport) -> list[str]:
    """The lines of a report that replay what failed."""
    said = [line.removeprefix("E").strip() for line in str(report.longrepr).splitlines()]
    return [line for line in said if line.startswith("ckpt-harness replay ")] + [text for name, text in report.sections if name == _SECTION]


_STATE: pytest.StashKey[_State] = pytest.StashKey()


def _state(config: pytest.Config) -> _State:
    if _STATE not in config.stash:
        config.stash[_STATE] = _State(config)
    return config.stash[_STATE]


# -- hooks


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declares the options."""
    group = parser.getgroup("checkpoint-harness", "fault injection for distributed checkpointing")
    group.addoption("--ckpt-seed", type=int, metavar="N", help="order in which simulated ranks run; default 0")
    group.addoption("--ckpt-profile", choices=("quick", "ci", "soak"), help="how long hypothesis searches; default: what CKPT_HARNESS_PROFILE names")
    group.addoption("--ckpt-register", type=Path, metavar="FILE", help="known findings of your own, beside those that ship with the harness")
    group.addoption("--ckpt-matrix", choices=("show", "hide"), default="show", help="the failure matrix in the summary, if cases ran")


def pytest_configure(config: pytest.Config) -> None:
    """Declares the mark; refuses a bad register, and loads a hypothesis profile, if one was asked for."""
    config.addinivalue_line("markers", "ckpt_ranks(n): the number of simulated ranks that ckpt_world runs")
    if config.getoption("ckpt_register"):
        _state(config).register()
    profile = config.getoption("ckpt_profile") or os.environ.get(PROFILE_VARIABLE)
    if profile:
        from harness import strategies
        from harness.errors import UsageError

        try:
            strategies.load_profile(profile)
        except UsageError as error:
            raise pytest.UsageError(str(error)) from None


def pytest_report_header(config: pytest.Config) -> str | None:
    """Versions and seed, where the options say that the plugin is in use."""
    return _header(config) if _asked_for(config) else None


def pytest_report_collectionfinish(config: pytest.Config, items: Sequence[pytest.Item]) -> str | None:
    """Versions and seed, where the tests say so."""
    if _asked_for(config) or not any(FIXTURES.intersection(getattr(item, "fixturenames", ())) for item in items):
        return None
    return _header(config)


def _asked_for(config: pytest.Config) -> bool:
    return any(config.getoption(name) is not None for name in ("ckpt_seed", "ckpt_profile", "ckpt_register"))


def _header(config: pytest.Config) -> str:
    from importlib.metadata import version

    import harness

    hypothesis = sys.modules.get("hypothesis")
    profile = f", profile {hypothesis.settings.get_current_profile_name()}" if hypothesis is not None else ""
    return f"checkpoint-harness {harness.__version__}: torch {version('torch')}, seed {_state(config).seed}{profile}"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Adds to a failure the line that replays it, where its message does not have it."""
    report: pytest.TestReport = yield
    state = item.config.stash.get(_STATE, None)
    if state is not None and state.used and call.when == "call":
        state.test_ended(item, report)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """An xdist worker hands its records to the controller."""
    state = session.config.stash.get(_STATE, None)
    output = getattr(session.config, "workeroutput", None)
    if output is not None and state is not None and state.records:
        output[_OUTPUT] = pickle.dumps(state.records)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """The xdist controller takes a worker's records; a worker that crashed has none."""
    records = getattr(node, "workeroutput", {}).get(_OUTPUT)
    if records is not None:
        _state(node.config).records += pickle.loads(records)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The failure matrix of all cases that ran, and what they came to."""
    state = config.stash.get(_STATE, None)
    if state is None:
        return
    if config.getoption("tbstyle") in ("no", "line"):  # which show neither messages nor sections
        for report in terminalreporter.stats.get("failed", []):
            for line in _replay_lines(report):
                terminalreporter.write_line(line)
    if state.records and config.getoption("ckpt_matrix") == "show" and terminalreporter.verbosity >= 0:
        terminalreporter.section(_SECTION)
        terminalreporter.write_line(_header(config))
        terminalreporter.write(_rendered(_matrices(state), colour=terminalreporter.hasmarkup))


def _matrices(state: _State) -> Iterator[RenderableType]:
    from harness.report.summary import Summary
    from harness.report.terminal import legend, matrix, totals
    from harness.sites import OPERATION_KINDS

    summary = Summary(state.register())
    for record in state.records:
        summary.add(record)
    operations = tuple(kind for kind in OPERATION_KINDS if any(square.operation == kind for square in summary.squares))
    for operation in operations:
        yield matrix(summary, operation)
        yield ""
    yield legend()
    yield totals(summary, operations, sum(record.seconds for record in state.records))
    if summary.known:
        yield "known findings: " + ", ".join(f"{name} ({len(records)} cases)" for name, records in sorted(summary.known.items()))


def _rendered(parts: Iterator[RenderableType], *, colour: bool) -> str:
    from rich.console import Console

    text = io.StringIO()
    console = Console(file=text, width=shutil.get_terminal_size((140, 24)).columns, force_terminal=colour, highlight=False)
    for part in parts:
        console.print(part)
    return text.getvalue()
