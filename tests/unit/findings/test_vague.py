"""Patterns behind which any violation could hide are recognised, however they are written."""

from __future__ import annotations

import pytest

from ckpt_harness.findings.register import Register
from ckpt_harness.findings.vague import allows_every_end, says_nothing


@pytest.mark.parametrize("reason", ["*", "rank * *", "rank *: *", "loaded on * rank(s): rank *: * instead of *", "after the retry: rank * raised *"])
def test_a_frame_without_content_says_nothing(reason: str) -> None:
    """Words that say where something was wrong are no evidence of what was wrong."""
    assert says_nothing(reason)


@pytest.mark.parametrize("reason", ["rank *: reported success", "rank * hung *", "loaded on * rank(s): values of saves 1, 2", "finish is called *"])
def test_a_word_of_what_was_wrong_says_something(reason: str) -> None:
    """One such word is enough."""
    assert not says_nothing(reason)


@pytest.mark.parametrize(
    ("patterns", "every"),
    [(("?*",), True), (("[!x]*",), True), (("*e*", "h*"), True), (("raised *", "hung *", "dead"), False), (("raised the injected error", "returned"), False)],
)
def test_patterns_together_may_allow_every_end(patterns: tuple[str, ...], every: bool) -> None:
    """The patterns are tried on an example of each end."""
    assert allows_every_end(patterns) is every


def test_no_evidence_of_the_shipped_register_says_nothing() -> None:
    """The shipped register is held to the same rule as an adopter's."""
    assert [(entry.id, reason) for entry in Register.shipped().entries for reason in entry.reasons if reason != "*" and says_nothing(reason)] == []
