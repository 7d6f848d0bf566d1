"""Violations with the same cause are one cause in a report."""

from __future__ import annotations

from ckpt_harness.conformance.causes import Cause, without_particulars


def test_reasons_that_differ_in_particulars_are_the_same() -> None:
    """Ranks, sites, files, errors and their texts are particulars; what happened is not."""
    first = "rank 0 raised CheckpointException in 'write' naming {rank 1: OSError([Errno 5] a; b)}; rank 1 returned"
    second = "rank 1 raised CheckpointException in 'plan' naming {rank 0: ValueError(x)}; and 2 more"
    assert without_particulars(first) == without_particulars(second)
    assert without_particulars("rank 0 never calls writer.finish") == without_particulars("rank 3 never calls fs.rm_file")
    assert without_particulars("rank 0 never calls writer.finish") != without_particulars("rank 0 calls writer.finish twice")


def test_a_cause_shows_its_simplest_example() -> None:
    """Once, after how often and where the cause was seen; of many places, five are named."""
    cause = Cause("a claim")
    cause.add(["fs.write"], "two faults\nreplay two", (2, 40))
    for number in range(6):
        cause.add([f"site.{number}"], f"example {number}\nreplay {number}", (1, 20 - number))
    assert list(cause.lines()) == [
        "a claim",
        "    seen 7 times: fs.write, site.0, site.1, site.2, site.3 and 2 more",
        "    example 5\n    replay 5",
    ]


def test_a_cause_that_was_seen_once() -> None:
    """In the singular."""
    cause = Cause("a claim")
    cause.add(["fs.write"], "what happened", (1, 10))
    assert list(cause.lines())[1] == "    seen 1 time: fs.write"
