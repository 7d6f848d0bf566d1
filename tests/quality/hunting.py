"""Looks for a planted bug as a user would: by sweeping, until a claim is violated that the sound engine keeps."""

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
    """The first case of a sweep that a bug fails and the sound engine does not.

    Attributes:
        result: what came of it with the bug.
        oracles: those that found a violation which no known finding explains.
        tried: how many cases were run.
    """

    result: CaseResult
    oracles: frozenset[str]
    tried: int


def hunt(bug: Bug, sound: Rig) -> Caught | None:
    """Sweeps the engine with the bug in it.

    Args:
        bug: the bug.
        sound: runs cases on the engine as it is, for comparison.
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
    """The oracles whose violation counts: neither known nor about what the engine does not claim."""
    return frozenset(one.oracle for one in result.judgements if one.counts is Verdict.VIOLATED)


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
