"""``assert_propagated``, as a test suite calls it: what its messages say."""

from __future__ import annotations

import errno
import traceback

import pytest
from torch.distributed.checkpoint import CheckpointException

from ckpt_harness.errors import OracleViolation, UsageError
from ckpt_harness.judging.assertions import assert_propagated


def test_both_errors_are_shown_in_full() -> None:
    """What was reported, and what was injected: a test suite shows nothing else."""
    full = "No space left on device [injected at writer.write_data on rank 0]"
    reported = CheckpointException("write", {0: (OSError(errno.ENOSPC, full), traceback.StackSummary())})
    with pytest.raises(OracleViolation) as violated:
        assert_propagated(reported, "write_data@0=raise(OSError:EIO)")
    assert f"it reports OSError([Errno 28] {full}); injected was OSError([Errno 5] " in str(violated.value)
    assert str(violated.value).endswith(" (different errno, message, args)")


def test_an_exception_info_is_refused() -> None:
    """What ``pytest.raises`` gives holds the exception, and is none."""
    with pytest.raises(ValueError, match="no") as caught:
        raise ValueError("no")
    with pytest.raises(UsageError, match=r"instead of an exception; valid: caught\.value of `pytest\.raises") as refused:
        assert_propagated(caught, "write_data@0=raise")  # type: ignore[arg-type]
    assert len(str(refused.value)) < 200
