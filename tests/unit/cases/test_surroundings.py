"""What is silenced while ranks run in a process."""

from __future__ import annotations

import pickle
import sys

import pytest

from ckpt_harness.cases.surroundings import silenced

ABSURD = b"\x80\x05\x96" + (1 << 62).to_bytes(8, "little")
"""A damaged pickle: it asks for a bytearray of 2**62 bytes."""


def _read_absurd() -> None:
    """Reads the damaged pickle. Python looks at memory that was used before, so that the memory must not be zero."""
    for _ in range(100):
        [b"x" * size for size in range(20, 60)]
        with pytest.raises(MemoryError):
            pickle.loads(ABSURD)


def test_a_damaged_pickle_prints_nothing(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Python prints a SystemError where a bytearray cannot be allocated, besides raising a MemoryError."""
    monkeypatch.setattr(sys, "excepthook", sys.__excepthook__)
    _read_absurd()
    assert "deallocated bytearray" in capsys.readouterr().err, "this Python prints nothing: the hook is no longer needed"
    with silenced():
        _read_absurd()
    assert capsys.readouterr().err == ""


def test_other_errors_reach_the_hook_of_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inside the block as outside; afterwards it is the hook again."""
    seen: list[tuple[object, ...]] = []

    def hook(*error: object) -> None:
        seen.append(error)

    monkeypatch.setattr(sys, "excepthook", hook)
    another = SystemError("another")
    with silenced():
        sys.excepthook(SystemError, another, None)
    assert seen == [(SystemError, another, None)]
    assert sys.excepthook is hook
