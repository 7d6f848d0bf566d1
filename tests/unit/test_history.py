"""Histories and errors as data."""

from __future__ import annotations

import errno
import json

import pytest

from ckpt_harness.history import ErrorRecord, Event, History

EVENTS = [
    Event(0.0, 0, "begin", "save[1]"),
    Event(0.5, 1, "enter", "save[1]", "writer.write_data", 1),
    Event(0.5, 1, "fault", "save[1]", "writer.write_data", 1, "writer.write_data@1=raise(unicode) — 磁盘\n"),
]


def test_a_history_is_one_json_array_per_line() -> None:
    """In ASCII, in order, and complete."""
    text = History(list(EVENTS)).to_jsonl()
    assert text.isascii()
    assert [Event(*json.loads(line)) for line in text.splitlines()] == EVENTS


def test_a_history_is_filtered_in_order() -> None:
    """By rank, and by kind."""
    history = History()
    for event in EVENTS:
        history.append(event)
    assert (len(history), list(history)) == (3, EVENTS)
    assert history.of_rank(1) == EVENTS[1:]
    assert history.of_kind("begin") == EVENTS[:1]


def test_an_error_becomes_data() -> None:
    """Type, arguments, message."""
    record = ErrorRecord.of(ValueError("no", 3))
    assert record == ErrorRecord("ValueError", ("'no'", "3"), None, "('no', 3)")
    assert str(record) == "ValueError(('no', 3))"


def test_an_os_error_keeps_its_errno() -> None:
    """By its symbolic name."""
    assert ErrorRecord.of(OSError(errno.ENOSPC, "full")).errno == "ENOSPC"
    assert ErrorRecord.of(OSError("no number")).errno is None


def test_a_type_is_named_with_its_module() -> None:
    """A builtin type is not; the short name has no module."""
    record = ErrorRecord.of(json.JSONDecodeError("bad", "doc", 0))
    assert (record.type_name, record.short_name) == ("json.decoder.JSONDecodeError", "JSONDecodeError")


class CheckpointException(BaseException):  # a double of torch's class, which a record recognises by name and failures
    def __init__(self, step: str, failures: dict[int, tuple[BaseException, object]]) -> None:
        super().__init__(step, failures)
        self.failures = failures


def test_the_record_of_a_checkpoint_exception_contains_each_ranks_error() -> None:
    """With the protocol step, in rank order."""
    record = ErrorRecord.of(CheckpointException("write", {2: (OSError(errno.EIO, "io"), None), 0: (ValueError("x"), None)}))
    assert record.step == "write"
    assert record.failures is not None
    assert record.failures[2].errno == "EIO"
    assert str(record) == "CheckpointException in 'write' naming {rank 0: ValueError(x), rank 2: OSError([Errno 5] io)}"


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


def test_an_error_that_cannot_be_printed_is_still_recorded() -> None:
    """The class is the user's, and may do anything."""
    assert ErrorRecord.of(Unprintable()).message == "<unprintable: RuntimeError>"


def test_a_long_message_is_printed_in_part() -> None:
    """The record keeps the whole message; the text shows both ends and the length."""
    record = ErrorRecord.of(RuntimeError("x" * 1000))
    assert len(record.message) == 1000
    assert str(record) == f"RuntimeError({'x' * 199}...{'x' * 198} (1000 characters))"


@pytest.mark.parametrize("error", [RuntimeError(), ValueError("a"), KeyError("k"), SystemExit(3)], ids=lambda error: type(error).__name__)
def test_equal_errors_have_equal_records(error: BaseException) -> None:
    """A record contains no live object."""
    assert ErrorRecord.of(error) == ErrorRecord.of(type(error)(*error.args))
