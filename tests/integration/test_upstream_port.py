"""The harness can carry DCP's own failure tests."""

from __future__ import annotations

from pathlib import Path

from launching import launch


def test_dcps_own_failure_tests_hold_with_our_wrappers(tmp_path: Path) -> None:
    """Every case of upstream's ``TestDistributedFailure``, on four gloo ranks that are processes, and without a group."""
    status, output = launch(["upstream_failures.py"], tmp_path)
    assert status == 0, output
    assert "Ran 4 tests" in output
