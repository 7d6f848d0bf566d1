"""Tests that take too long are ended; a busy machine is no reason."""

from __future__ import annotations

from pathlib import Path

import pytest

CONFTEST = f"""
    import sys, time
    sys.path.insert(0, {str(Path(__file__).parents[2])!r})
    import tests.time_limit
    from ckpt_harness.worlds.fair_clock import FairClock

    pytest_plugins = ["tests.time_limit"]
    tests.time_limit.LIMIT = 0.8
    tests.time_limit.FairClock = lambda: FairClock(%s)
"""
STARVED, FREE = "lambda: {1: time.monotonic()}", "dict"
WAITS = "import threading\n\ndef test_waits():\n    threading.Event().wait({seconds})\n"


@pytest.mark.parametrize("options", [(), ("-n", "1")], ids=["here", "on a worker"])
def test_a_test_that_takes_too_long_is_ended_with_all_stacks(pytester: pytest.Pytester, options: tuple[str, ...]) -> None:
    """Under xdist, its worker ends; the others go on."""
    pytester.makeconftest(CONFTEST % FREE)
    pytester.makepyfile(WAITS.format(seconds=200))
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", *options, timeout=250)
    assert result.ret == 1
    result.stderr.fnmatch_lines(["A test took longer than 0.8 s, *", '*File "*test_a_test_that*.py", line 4 in test_waits'])


def test_a_test_that_a_busy_machine_keeps_from_running_is_not_ended(pytester: pytest.Pytester) -> None:
    """It takes four times the limit, and waits for a processor all the time."""
    pytester.makeconftest(CONFTEST % STARVED)
    pytester.makepyfile(WAITS.format(seconds=3))
    result = pytester.runpytest_subprocess("-p", "no:cacheprovider", timeout=250)
    result.assert_outcomes(passed=1)
