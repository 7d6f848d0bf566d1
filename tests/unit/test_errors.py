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
