"""The pytest plugin: ranks without a launcher, cases with their replay lines, and the failure matrix in the summary.

Ranks are simulated, unless the mark ``ckpt_runs_in`` or the option ``--ckpt-world`` says otherwise. A session whose tests use none of the fixtures,
marks and options pays nothing: everything beyond the hooks is imported when a test first needs it.
"""

from __future__ import annotations

import sys
from typing import Any

import pytest

from ckpt_harness.pytest_plugin.fixtures import ckpt_job_rig as ckpt_job_rig
from ckpt_harness.pytest_plugin.fixtures import ckpt_rig as ckpt_rig
from ckpt_harness.pytest_plugin.fixtures import ckpt_world as ckpt_world
from ckpt_harness.pytest_plugin.fixtures import ckpt_worlds as ckpt_worlds
from ckpt_harness.pytest_plugin.names import FIXTURES, NEEDS, RIGS, RUNS_IN
from ckpt_harness.pytest_plugin.options import pytest_addoption as pytest_addoption
from ckpt_harness.pytest_plugin.options import pytest_configure as pytest_configure
from ckpt_harness.pytest_plugin.options import pytest_report_collectionfinish as pytest_report_collectionfinish
from ckpt_harness.pytest_plugin.options import pytest_report_header as pytest_report_header
from ckpt_harness.pytest_plugin.options import requested_world
from ckpt_harness.pytest_plugin.stash import session_if_any, session_of
from ckpt_harness.pytest_plugin.workers import pytest_configure_node as pytest_configure_node
from ckpt_harness.pytest_plugin.workers import pytest_sessionfinish as pytest_sessionfinish
from ckpt_harness.pytest_plugin.workers import pytest_testnodedown as pytest_testnodedown

_UNCLAIMED = "ckpt_unclaimed"
"""``ckpt_harness.conformance.unclaimed.UNCLAIMED``, repeated here because importing that module would import torch."""


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config: pytest.Config) -> int | None:
    """Under a launcher, if the options say so, rank 0 runs the session and the other ranks serve it."""
    if requested_world(config) != "attached":
        return None
    from ckpt_harness.pytest_plugin import launched

    return launched.run(config, sys.modules[__name__])


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Chooses the world in which the test runs, or skips the test."""
    engine = item.config.getoption("ckpt_engine")
    fixtures = FIXTURES.intersection(getattr(item, "fixturenames", ()))
    if engine and item.get_closest_marker(RUNS_IN) is not None and fixtures.isdisjoint(RIGS):
        pytest.skip(f"runs no case on engine {engine!r}: the test uses neither ckpt_rig nor ckpt_job_rig")
    if engine and item.get_closest_marker(NEEDS) is not None:
        from ckpt_harness.pytest_plugin import engines

        engines.check_needs(item, engine)
    if fixtures:
        from ckpt_harness.pytest_plugin.worlds import chosen

        requested = requested_world(item.config)
        if engine and requested is None:
            from ckpt_harness.pytest_plugin import engines

            requested = engines.needed_world(engine)
        session_of(item.config).world = chosen(item, requested)


@pytest.hookimpl(wrapper=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> Any:
    """Skips a property test if hypothesis gives up because the engine of ``--ckpt-engine`` claims too little to run its examples."""
    try:
        return (yield)
    except Exception as error:
        session = session_if_any(pyfuncitem.config)
        refused = [] if session is None else session.refused_of_test()
        if refused and type(error).__name__ in {"Unsatisfiable", "FailedHealthCheck"}:
            pytest.skip("; ".join(refused))
        raise


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Any:
    """Adds the replay line to the report of a failure whose message has none."""
    report: pytest.TestReport = yield
    session = session_if_any(item.config)
    if session is not None and session.used and call.when == "call":
        session.test_ended(item, report)
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Prints unclaimed capabilities that held, replay lines that pytest hides, and the failure matrix of all cases."""
    skipped = [report for report in terminalreporter.stats.get("skipped", []) if isinstance(report, pytest.TestReport)]  # others: whole modules
    unclaimed = [str(value) for report in skipped for name, value in report.user_properties if name == _UNCLAIMED]
    if unclaimed:
        from ckpt_harness.conformance.unclaimed import summary_lines

        for line in summary_lines(unclaimed):
            terminalreporter.write_line(line)
    session = session_if_any(config)
    if session is not None:
        from ckpt_harness.pytest_plugin.summary import write_summary

        write_summary(session, terminalreporter, config)
