"""A session under a launcher: rank 0 runs the tests, and the other ranks serve the cases that the tests run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest


def run(config: pytest.Config, plugin: object) -> int:
    """Runs the session on rank 0, and serves it on the other ranks, which collect and print nothing.

    Args:
        config: of the session.
        plugin: the plugin whose ``pytest_cmdline_main`` called this function; the implementations of all other plugins run.

    Returns:
        The exit status of rank 0, on every rank.

    Raises:
        pytest.UsageError: there is no launcher, or ``-n`` asks for workers of xdist.
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
        raise pytest.UsageError(
            "-n: the launcher's ranks run one case at a time; valid: no -n, or --ckpt-world simulated without a launcher"
        )
    if launch.rank == 0:
        config.pluginmanager.register(_Watchdogs())
    return together(lambda: _session(others, config))


class _Watchdogs:
    """Keeps native threads that pytest itself starts for a test, such as the one of ``faulthandler_timeout``, out of the evidence of hangs.

    Rank 0 lives in pytest's process. A native thread there may belong to a storage client whose answer a rank waits for, so no hang could be proved
    while such a thread runs.
    """

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_runtest_protocol(self) -> Any:
        """Notes the native threads before pytest starts one."""
        from ckpt_harness.worlds.processes import thread_watch

        self._before = thread_watch.natives()
        return (yield)

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        """Excludes the native threads that pytest has started."""
        from ckpt_harness.worlds.processes import thread_watch

        thread_watch.leave_out("pytest", thread_watch.natives() - self._before)


def _session(others: Callable[..., Any], config: pytest.Config) -> int:
    try:
        return int(others(config=config))
    except pytest.UsageError as error:  # pytest's own main prints the error alike, but its status would not reach the other ranks
        print(*(f"ERROR: {line}" for line in error.args), sep="\n", file=sys.stderr)
        return pytest.ExitCode.USAGE_ERROR
