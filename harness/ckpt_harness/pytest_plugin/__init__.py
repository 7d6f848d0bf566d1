"""The pytest plugin: ranks without a launcher, cases with their replay lines, and the failure matrix in the summary.

Fixtures: ``ckpt_world`` runs a body of yours on ranks; ``ckpt_worlds`` makes such worlds and ``ckpt_rig`` runs whole cases, both for the session, so
that hypothesis may call a test many times with them. Ranks are simulated, unless the mark ``ckpt_runs_in`` or ``--ckpt-world`` says otherwise. A test
that uses none of the fixtures, nor the marks or the options, pays nothing: everything else is imported when it is first needed.
"""

from __future__ import annotations

import os
import pickle
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ckpt_harness.pytest_plugin.names import ATTACH, FIXTURES, MARK, NEEDS, WORLDS

if TYPE_CHECKING:
    from ckpt_harness.cases.case import WorldName
    from ckpt_harness.pytest_plugin.cases import CkptRig
    from ckpt_harness.pytest_plugin.ranks import CkptWorld
    from ckpt_harness.pytest_plugin.session import Session

PROFILE_VARIABLE = "CKPT_HARNESS_PROFILE"
_RANKS = 2
"""Ranks of a ``ckpt_world`` without a mark: the fewest among which an error can get lost."""
_AT_ONCE = "ckpt_harness_ranks_at_once"
"""Key under which the xdist controller tells its workers how many processes may be ranks at once."""
_UNCLAIMED = "ckpt_unclaimed"
"""That of ``ckpt_harness.conformance.unclaimed``, where nothing else of the harness may be imported."""
_OUTPUT = "ckpt_harness_records"
"""Key under which an xdist worker hands its records to the controller."""


@pytest.fixture(scope="session")
def ckpt_worlds(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], CkptWorld]:
    """Makes worlds of ranks: ``ckpt_worlds(4).run(body, plan=...)``. Lives as long as the session, so it may be used under ``@given``."""
    from ckpt_harness.pytest_plugin.ranks import CkptWorld

    session = _used(pytestconfig, tmp_path_factory)
    return lambda ranks: CkptWorld(ranks, session.seed, session.world)


@pytest.fixture
def ckpt_world(request: pytest.FixtureRequest, ckpt_worlds: Callable[[int], CkptWorld]) -> CkptWorld:
    """A world of ranks, as many as ``@pytest.mark.ckpt_ranks`` says, else 2."""
    mark = request.node.get_closest_marker("ckpt_ranks")
    if mark is None:
        return ckpt_worlds(_RANKS)
    if len(mark.args) != 1 or mark.kwargs or not isinstance(mark.args[0], int) or mark.args[0] < 1:
        raise pytest.UsageError(f"ckpt_ranks takes a number of ranks, at least 1, as in @pytest.mark.ckpt_ranks(4); got {mark.args!r}")
    return ckpt_worlds(mark.args[0])


@pytest.fixture(scope="session")
def ckpt_rig(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CkptRig]:
    """Runs cases: ``ckpt_rig.check(Case(plan=..., ranks=3))``. Lives as long as the session, so it may be used under ``@given``."""
    from ckpt_harness.cases.rig import Rig
    from ckpt_harness.pytest_plugin.cases import CkptRig

    session = _used(pytestconfig, tmp_path_factory)
    with Rig(register=session.register()) as rig:
        yield CkptRig(rig, session)


_SESSION: pytest.StashKey[Session] = pytest.StashKey()


def _session(config: pytest.Config) -> Session:
    if _SESSION not in config.stash:
        from ckpt_harness.pytest_plugin.session import Session

        config.stash[_SESSION] = Session(config.getoption("ckpt_seed") or 0, config.getoption("ckpt_register"), config.getoption("ckpt_engine"))
    return config.stash[_SESSION]


def _used(config: pytest.Config, places: pytest.TempPathFactory) -> Session:
    """The session, now that a test uses it. An xdist worker agrees with the others on who runs processes when."""
    session = _session(config)
    session.used = True
    share: dict[str, Any] = getattr(config, "workerinput", {})
    if _AT_ONCE in share:
        from ckpt_harness.worlds.processes import Turns, shared

        # The directory that workers have in common is pytest's own, which goes away as pytest sees fit.
        shared().share(Turns(places.getbasetemp().parent, share[_AT_ONCE]), share["workercount"])
    return session


def pytest_addoption(parser: pytest.Parser) -> None:
    """Declares the options."""
    group = parser.getgroup("ckpt-harness", "fault injection for distributed checkpointing")
    group.addoption("--ckpt-world", choices=WORLDS, help="what runs the ranks; tests that cannot run there are skipped. Default: as each test says")
    parser.addini(ATTACH, "under a launcher such as torchrun, take --ckpt-world attached for granted", type="bool", default=False)
    group.addoption("--ckpt-engine", metavar="NAME", help="run the cases that name no engine on this one; what it does not claim is skipped")
    group.addoption("--ckpt-seed", type=int, metavar="N", help="order in which simulated ranks run; default 0")
    group.addoption("--ckpt-profile", choices=("quick", "ci", "soak"), help="how long hypothesis searches; default: what CKPT_HARNESS_PROFILE names")
    group.addoption("--ckpt-register", type=Path, metavar="FILE", help="known findings of your own, beside those that ship with the harness")
    group.addoption("--ckpt-matrix", choices=("show", "hide"), default="show", help="the failure matrix in the summary, if cases ran")


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Under a launcher, if asked to: rank 0 runs the session, and the others serve it."""
    if _world(config) != "attached":
        return None
    from ckpt_harness.pytest_plugin import launched

    return launched.run(config, sys.modules[__name__])


def _world(config: pytest.Config) -> WorldName | None:
    """The world that the command line asks for, or a launcher where the configuration says that it does."""
    asked: WorldName | None = config.getoption("ckpt_world")
    if asked is None and config.getini(ATTACH):
        from ckpt_harness.worlds.launcher import Launch

        return None if Launch.here() is None else "attached"
    return asked


def pytest_configure(config: pytest.Config) -> None:
    """Declares the marks; refuses a bad register, and loads a hypothesis profile, if one was asked for."""
    config.addinivalue_line("markers", "ckpt_ranks(n): the number of ranks that ckpt_world runs")
    config.addinivalue_line("markers", f"{MARK}(world, ...): the worlds that a test can run in, of {', '.join(WORLDS)}; its own is the first")
    config.addinivalue_line("markers", f"{NEEDS}(capability, ...): what a test takes for granted; skipped where --ckpt-engine does not claim it")
    if config.getoption("ckpt_register"):
        _session(config).register()
    if config.getoption("ckpt_engine"):
        from ckpt_harness.pytest_plugin import engines

        engines.check(config.getoption("ckpt_engine"))
    profile = config.getoption("ckpt_profile") or os.environ.get(PROFILE_VARIABLE)
    if profile:
        from ckpt_harness import strategies
        from ckpt_harness.errors import UsageError

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
    return _world(config) is not None or any(config.getoption(name) is not None for name in ("ckpt_engine", "ckpt_seed", "ckpt_profile", "ckpt_register"))


def _header(config: pytest.Config) -> str:
    from importlib.metadata import version

    import ckpt_harness

    hypothesis = sys.modules.get("hypothesis")
    profile = f", profile {hypothesis.settings.get_current_profile_name()}" if hypothesis is not None else ""
    world = f", world {_world(config)}" if _world(config) else ""
    engine = f", engine {config.getoption('ckpt_engine')}" if config.getoption("ckpt_engine") else ""
    return f"ckpt-harness {ckpt_harness.__version__}: torch {version('torch')}, seed {config.getoption('ckpt_seed') or 0}{engine}{world}{profile}"


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Settles in which world the test runs, or skips it."""
    engine = item.config.getoption("ckpt_engine")
    if engine and item.get_closest_marker(MARK) is not None and "ckpt_rig" not in getattr(item, "fixturenames", ()):
        pytest.skip(f"runs no cases whose engine could be {engine!r}: it does not use ckpt_rig")
    if engine and item.get_closest_marker(NEEDS) is not None:
        from ckpt_harness.pytest_plugin import engines

        engines.check_needs(item, engine)
    if FIXTURES.intersection(getattr(item, "fixturenames", ())):
        from ckpt_harness.pytest_plugin.worlds import chosen

        asked = _world(item.config)
        if engine and asked is None:
            from ckpt_harness.pytest_plugin import engines

            asked = engines.needed_world(engine)
        _session(item.config).world = chosen(item, asked)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Any:
    """Skips a property of which the engine of ``--ckpt-engine`` claims too little to be tried, as hypothesis tells it."""
    try:
        return (yield)
    except Exception as error:
        session = pyfuncitem.config.stash.get(_SESSION, None)
        refused = [] if session is None else session.refused_of_test()
        if refused and type(error).__name__ in {"Unsatisfiable", "FailedHealthCheck"}:
            pytest.skip("; ".join(refused))
        raise


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """The xdist controller tells a worker what the machine bears; a worker may be bound to one processor, and others may have begun."""
    if sys.platform.startswith("linux"):
        from ckpt_harness.worlds.processes.turns import available_memory, bearable

        node.workerinput[_AT_ONCE] = bearable(len(os.sched_getaffinity(0)), available_memory())


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Adds to a failure the line that replays it, where its message does not have it."""
    report: pytest.TestReport = yield
    session = item.config.stash.get(_SESSION, None)
    if session is not None and session.used and call.when == "call":
        session.test_ended(item, report)
    return report


def pytest_sessionfinish(session: pytest.Session) -> None:
    """An xdist worker hands its records to the controller."""
    kept = session.config.stash.get(_SESSION, None)
    output = getattr(session.config, "workeroutput", None)
    if output is not None and kept is not None and (kept.records or kept.refused or kept.instead):
        output[_OUTPUT] = pickle.dumps((kept.records, kept.refused, kept.instead))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """The xdist controller takes a worker's records; a worker that crashed has none."""
    kept = getattr(node, "workeroutput", {}).get(_OUTPUT)
    if kept is not None:
        records, refused, instead = pickle.loads(kept)
        session = _session(node.config)
        session.records += records
        session.refused.update(refused)
        session.instead.update(instead)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """The failure matrix of all cases that ran, and what they came to."""
    skipped = terminalreporter.stats.get("skipped", [])
    unclaimed = [value for report in skipped for name, value in report.user_properties if name == _UNCLAIMED]
    if unclaimed:
        from ckpt_harness.conformance.unclaimed import told

        for line in told(unclaimed):
            terminalreporter.write_line(line)
    session = config.stash.get(_SESSION, None)
    if session is None:
        return
    from ckpt_harness.pytest_plugin.session import SECTION, replay_lines

    if config.getoption("tbstyle") == "no":  # which shows neither messages nor sections
        for report in terminalreporter.stats.get("failed", []):
            for line in replay_lines(report):
                terminalreporter.write_line(line)
    if (session.records or session.refused) and config.getoption("ckpt_matrix") == "show" and terminalreporter.verbosity >= 0:
        from ckpt_harness.pytest_plugin.summary import rendered

        terminalreporter.section(SECTION)
        terminalreporter.write_line(_header(config))
        terminalreporter.write(rendered(session, colour=terminalreporter.hasmarkup))
