"""Histories and errors as data."""

from __future__ import annotations

import errno
import json

import pytest

from ckpt_harness.history import MESSAGE_LIMIT, ErrorRecord, Event, History

EVENTS = [
    Event(0.0, 0, "begin", "save[1]"),
    Event(0.5, 1, "enter", "save[1]", "writer.write_data", 1),
    Event(0.5, 1, "fault", "save[1]", "writer.write_data", 1, "writer.write_data@1=raise(unicode) — 磁盘\n"),
]


def test_a_history_is_one_json_array_a_line() -> None:
    """ASCII, in order, and with nothing lost."""
    text = History(list(EVENTS)).to_jsonl()
    assert text.isascii()
    assert [Event(*json.loads(line)) for line in text.splitlines()] == EVENTS


def test_a_history_is_filtered_in_order() -> None:
    """By rank and by kind."""
    history = History()
    for event in EVENTS:
        history.append(event)
    assert (len(history), list(history)) == (3, EVENTS)
    assert history.of_rank(1) == EVENTS[1:]
    assert history.of_kind("begin") == EVENTS[:1]


def test_an_error_is_read_as_data() -> None:
    """Type, arguments, message."""
    record = ErrorRecord.of(ValueError("no", 3))
    assert record == ErrorRecord("ValueError", ("'no'", "3"), None, "('no', 3)")
    assert str(record) == "ValueError(('no', 3))"


def test_an_os_error_keeps_its_errno() -> None:
    """By its symbolic name."""
    assert ErrorRecord.of(OSError(errno.ENOSPC, "full")).errno == "ENOSPC"
    assert ErrorRecord.of(OSError("no number")).errno is None


def test_a_type_is_named_with_its_module() -> None:
    """Unless it is a builtin; the short name goes without."""
    record = ErrorRecord.of(json.JSONDecodeError("bad", "doc", 0))
    assert (record.type_name, record.short_name) == ("json.decoder.JSONDecodeError", "JSONDecodeError")


class CheckpointException(BaseException):  # a double of torch's, which the record knows by its name and its failures
    def __init__(self, step: str, failures: dict[int, tuple[BaseException, object]]) -> None:
        super().__init__(step, failures)
        self.failures = failures


def test_a_checkpoint_exception_tells_every_ranks_error() -> None:
    """The protocol step, and who failed with what, in rank order."""
    record = ErrorRecord.of(CheckpointException("write", {2: (OSError(errno.EIO, "io"), None), 0: (ValueError("x"), None)}))
    assert record.step == "write"
    assert record.failures is not None
    assert record.failures[2].errno == "EIO"
    assert str(record) == "CheckpointException in 'write' naming {rank 0: ValueError(x), rank 2: OSError([Errno 5] io)}"


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("not even this")


def test_an_error_that_cannot_be_printed_is_still_recorded() -> None:
    """The users' classes may do anything."""
    assert ErrorRecord.of(Unprintable()).message == "<unprintable: RuntimeError>"


def test_a_long_message_is_quoted_in_part() -> None:
    """It is kept whole, and shown with its length."""
    record = ErrorRecord.of(RuntimeError("x" * 1000))
    assert len(record.message) == 1000
    assert str(record) == f"RuntimeError({'x' * MESSAGE_LIMIT}... (1000 characters))"


@pytest.mark.parametrize("error", [RuntimeError(), ValueError("a"), KeyError("k"), SystemExit(3)], ids=lambda error: type(error).__name__)
def test_equal_errors_have_equal_records(error: BaseException) -> None:
    """They hold no object, so they can be compared."""
    assert ErrorRecord.of(error) == ErrorRecord.of(type(error)(*error.args))
