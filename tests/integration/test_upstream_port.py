"""DCP's own failure tests can be written with the harness."""

from __future__ import annotations

from pathlib import Path

from launching import launch


def test_dcps_own_failure_tests_hold_with_our_wrappers(tmp_path: Path) -> None:
    """Every case of DCP's ``TestDistributedFailure`` passes, on four gloo processes and without a process group."""
    status, output = launch(["upstream_failures.py"], tmp_path)
    assert status == 0, output
    assert "Ran 4 tests" in output
