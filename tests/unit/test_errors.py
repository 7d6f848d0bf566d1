"""How refusals read: one line, the value, and the valid choices."""

from __future__ import annotations

import doctest

import pytest

from ckpt_harness import errors


def test_the_examples_are_true() -> None:
    """Each docstring's example gives what it says."""
    assert doctest.testmod(errors).failed == 0


@pytest.mark.parametrize(("value", "nearest"), [("writer.writ_data", "writer.write_data"), ("finish", "writer.finish")])
def test_a_long_list_of_choices_is_cut_to_the_nearest(value: str, nearest: str) -> None:
    """The message names the command that prints all choices, and stays under 200 characters."""
    from ckpt_harness.faults.sites import SITES

    message = errors.unknown("site", value, SITES, see="ckpt-harness sites")
    assert nearest in message
    assert message.endswith("; all: `ckpt-harness sites`")
    assert len(message) < 200


def test_a_long_value_is_cut_in_the_middle() -> None:
    """Its beginning and its end stay."""
    message = errors.unknown("operation", "s" * 5000 + "e", ["save", "load"])
    assert message.endswith("se'; valid: save, load")
    assert len(message) < 200


def test_a_long_error_keeps_its_reason() -> None:
    """What a message quotes of its arguments goes first; the class, and the reason at the end, stay."""
    arguments = ", ".join(f"ShardMetadata(offsets=[{number}], sizes=[3])" for number in range(40))
    text = errors.cut(f"RuntimeError(data_ptr, with args: (ShardedTensor([{arguments}]),) not supported for ShardedTensor!)", 120)
    assert text.startswith("RuntimeError(data_ptr, with args: (ShardedTensor")
    assert text.endswith(" not supported for ShardedTensor!)")
    assert len(text) <= 120


def test_each_of_several_long_errors_is_shortened() -> None:
    """The errors of all ranks stay recognisable."""
    text = errors.cut(f"naming {{rank 0: ValueError({'a' * 500}), rank 1: KeyError({'b' * 500})}}", 120)
    assert "rank 0: ValueError(aaa" in text
    assert "rank 1: KeyError(bbb" in text
    assert len(text) == 120


def test_a_shortened_text_is_never_longer_than_its_limit() -> None:
    """Whatever brackets are in it."""
    for text in ("(" * 5000 + ")" * 5000, "([{" * 900, ")]}" * 900, "x" * 5000, "(a) " * 2000, "[" + "(xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx)" * 99 + "]"):
        for limit in (10, 60, 175):
            assert len(errors.cut(text, limit)) <= limit, text[:20]


def test_an_error_of_the_users_is_described_with_its_first_cause() -> None:
    """The reason is often the last link of the chain; a cause that the message quotes is not repeated."""
    deep = RuntimeError("cannot open the storage")
    deep.__cause__ = ValueError("no client")
    deep.__cause__.__cause__ = ModuleNotFoundError("No module named 'boto3'")
    assert errors.described(deep) == "RuntimeError: cannot open the storage, caused by No module named 'boto3'"
    quoting = RuntimeError("upload failed: [Errno 5] Input/output error")
    quoting.__cause__ = OSError(5, "Input/output error")
    assert errors.described(quoting) == "RuntimeError: upload failed: [Errno 5] Input/output error"
    loop = RuntimeError("round")
    loop.__cause__ = ValueError("and round")
    loop.__cause__.__cause__ = loop
    assert errors.described(loop).startswith("RuntimeError: round, caused by ValueError: and round")
