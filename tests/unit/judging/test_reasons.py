"""What oracles print: their claims, and reasons of one line."""

from __future__ import annotations

import pytest

from ckpt_harness.errors import UsageError
from ckpt_harness.faults.protocol import DCP
from ckpt_harness.judging.expectation import Ending, Expectation
from ckpt_harness.judging.oracles import ORACLES, claim_of
from ckpt_harness.judging.oracles.base import LONGEST, Differences, judged, one_line
from ckpt_harness.judging.sections import Sections
from ckpt_harness.judging.trace import Moment


@pytest.mark.parametrize("oracle", ORACLES)
def test_every_oracle_states_its_claim(oracle: str) -> None:
    """In one sentence of one line, which reports print as it is."""
    claim = claim_of(oracle)
    assert claim[0].isupper()
    assert claim.endswith(".")
    assert "\n" not in claim
    assert "`" not in claim
    assert len(claim) < 200


def test_an_unknown_oracle_has_no_claim() -> None:
    """The refusal shows the name and where oracles are listed."""
    with pytest.raises(UsageError, match="unknown oracle 'bound'; nearest: bounded"):
        claim_of("bound")


@pytest.mark.parametrize(
    ("reasons", "shown"),
    [
        ([], ""),
        (["rank 0 hung"], "rank 0 hung"),
        (["rank 0 hung", "rank 1 hung"], "rank 0 hung; rank 1 hung"),
        (["two\nlines,  and blanks"], "two lines, and blanks"),
        (["a" * 100, "b" * 100], "a" * 100 + "; and 1 more"),
        (["a" * 20] * 50, "; ".join(["a" * 20] * 8) + "; and 42 more"),
    ],
)
def test_reasons_fit_into_a_line(reasons: list[str], shown: str) -> None:
    """As many as fit, and the number of the others."""
    assert one_line(reasons) == shown
    assert len(one_line(reasons)) <= LONGEST


def test_a_line_quotes_the_first_differences_and_the_register_sees_all() -> None:
    """An entry of the register that describes only what the line shows does not explain the rest."""
    differences = Differences("rank 1", tuple(f"{name}: NaN" for name in "abcd"))
    judgement = judged("filled", Expectation("load[1]", (0, 1), Ending.SUCCEEDS), [differences, "alone"])
    assert judgement.reason == "rank 1: a: NaN; b: NaN; c: NaN; alone"
    assert judgement.reasons == ("rank 1: a: NaN", "rank 1: b: NaN", "rank 1: c: NaN", "rank 1: d: NaN", "alone")


def test_a_long_reason_keeps_its_beginning_and_its_end() -> None:
    """The middle is cut."""
    line = one_line(["rank 0 " + "x" * 5000 + " end", "rank 1 hung"])
    assert line.startswith("rank 0 x")
    assert line.endswith("x end; and 1 more")
    assert len(line) <= LONGEST


@pytest.mark.parametrize(
    ("site", "after", "current", "number"),
    [
        ("writer.reset", False, 0, 0),
        ("writer.storage_meta", False, 0, 1),
        ("writer.prepare_global_plan", False, 1, 2),
        ("writer.write_data", False, 2, 3),
        ("writer.finish", True, 3, 4),
        ("pg.gather", False, 3, 3),
        ("stager.close", False, 4, 5),
        ("executor.save", True, 4, 5),  # the call began ahead of the steps
    ],
)
def test_a_moment_belongs_to_a_section(site: str, after: bool, current: int, number: int) -> None:
    """Before, map and reduce of each step, after; a collective belongs to the section that the rank is in."""
    sections = Sections(DCP, "async_save[1]")
    assert sections.number_of(Moment(site, 1, after), current) == number
