"""Searches for a planted bug as a user would: with a sweep, until a claim is violated that the engine without the bug keeps."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from click.testing import CliRunner
from planting import Bug, Edit, planted

from ckpt_harness.cases.case import Case
from ckpt_harness.cases.result import CaseResult
from ckpt_harness.cases.rig import Rig
from ckpt_harness.cli import main
from ckpt_harness.judging.verdict import Verdict


class Caught(NamedTuple):
    """The first case of a sweep that violates a claim with the bug, and not without the bug.

    Attributes:
        result: the result with the bug.
        oracles: the oracles that found a violation which no known finding explains.
        tried: number of cases that were run.
    """

    result: CaseResult
    oracles: frozenset[str]
    tried: int


def hunt(bug: Bug, sound: Rig) -> Caught | None:
    """Sweeps the engine with the bug.

    Args:
        bug: the planted bug.
        sound: runs cases on the engine without the bug, for comparison.
    """
    tried = 0
    with Rig() as rig:
        cases = _cases(bug, rig)
        while True:
            with planted(bug.edits):
                for case in cases:
                    result = rig.run(case)
                    tried += 1
                    if result.verdict is Verdict.VIOLATED:
                        break
                else:
                    return None
            if sound.run(case).verdict is Verdict.HOLDS:
                return Caught(result, violated(result), tried)


def _cases(bug: Bug, rig: Rig) -> Iterator[Case]:
    for ground in bug.search.grounds():
        yield from bug.search.cases(rig, ground)


def violated(result: CaseResult) -> frozenset[str]:
    """The oracles whose violation counts: the violation is not known, and the engine makes the claim."""
    return frozenset(judgement.oracle for judgement in result.judgements if judgement.counts is Verdict.VIOLATED)


def replayed(line: str, edits: Sequence[Edit] = ()) -> tuple[int, str]:
    """Runs a replay line through the command line's own parser, in this process.

    Returns:
        Exit status and what was printed.
    """
    words = shlex.split(line)
    assert words[0] == "ckpt-harness", line
    with planted(edits):
        result = CliRunner().invoke(main, words[1:], env={"COLUMNS": "200"})
    return result.exit_code, result.output
