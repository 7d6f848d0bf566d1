"""A session of which rank 0 of a launcher runs the tests, while the other ranks serve the cases that they run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest


def run(config: pytest.Config, plugin: object) -> int:
    """Runs the session on rank 0, and serves it on the others: these neither collect nor print anything.

    Args:
        config: of the session.
        plugin: whose ``pytest_cmdline_main`` this stands in for.

    Returns:
        The exit status of rank 0, on every rank.

    Raises:
        pytest.UsageError: there is no launcher, or xdist would run the tests elsewhere.
    """
    from ckpt_harness.errors import UsageError
    from ckpt_harness.worlds.attached import together
    from ckpt_harness.worlds.launcher import Launch

    try:
        launch = Launch.needed()
    except UsageError as error:
        raise pytest.UsageError(str(error)) from None
    others = config.pluginmanager.subset_hook_caller("pytest_cmdline_main", [plugin])
    if getattr(config.option, "numprocesses", None):
        if launch.rank:
            return pytest.ExitCode.USAGE_ERROR
        raise pytest.UsageError("-n: the launcher's ranks run one case at a time; valid: no -n, or --ckpt-world simulated without a launcher")
    if launch.rank == 0:
        config.pluginmanager.register(_Watchdogs())
    return together(lambda: _session(others, config))


class _Watchdogs:
    """Threads of native code that pytest itself starts for a test, as for ``faulthandler_timeout``, serve no rank.

    Rank 0 lives in pytest's process: taken for those of a client, whose answer a rank might wait for, they would keep hangs from being told.
    """

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self) -> Any:
        """Before pytest starts any."""
        from ckpt_harness.worlds.processes import where

        self._before = where.natives()
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """After it has."""
        from ckpt_harness.worlds.processes import where

        where.leave_out("pytest", where.natives() - self._before)


def _session(others: Callable[..., Any], config: pytest.Config) -> int:
    try:
        return int(others(config=config))
    except pytest.UsageError as error:  # as pytest's own main would, but with a status that all ranks hear of
        print(*(f"ERROR: {line}" for line in error.args), sep="\n", file=sys.stderr)
        return pytest.ExitCode.USAGE_ERROR
