"""Groups violations by their cause, so that a report shows each cause once: one bug of a storage shows at many sites."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ckpt_harness.judging.verdict import Judgement, Verdict

_MOST_PLACES = 5
"""Places of a cause that are named."""
_PARTICULARS = re.compile(r"\{.*\}|'[^']*'|\([^()]*\)|\b[\w*-]*[./][\w./*-]+|[0-9]+")
"""What differs between two cases of one cause: errors, quoted text, sites and file names, numbers."""


@dataclass
class Cause:
    """Violations that are taken for one cause: the same claim is broken, and the reasons differ in names and numbers only.

    Attributes:
        heading: the broken claim.
        count: number of violations.
        places: where they were seen: sites, or what a reader may get; without repetition, in the order in which they were seen.
        example: the violation with the shortest plan; the last line replays it.
    """

    heading: str
    count: int = 0
    places: dict[str, None] = field(default_factory=dict)
    example: str = ""
    _complexity: tuple[int, int] = (0, 0)

    def add(self, places: list[str], example: str, complexity: tuple[int, int] = (0, 0)) -> None:
        """Counts a violation.

        Args:
            places: where it was seen.
            example: what happened, and the line that replays it.
            complexity: number of faults, and length of their text. The simplest example is kept; of equally simple examples, the first.
        """
        if self.count == 0 or complexity < self._complexity:
            self.example, self._complexity = example, complexity
        self.count += 1
        self.places.update(dict.fromkeys(places))

    def lines(self) -> Iterator[str]:
        """The lines of the cause in a report."""
        named = list(self.places)[:_MOST_PLACES]
        more = f" and {len(self.places) - len(named)} more" if len(self.places) > len(named) else ""
        yield self.heading
        yield f"    seen {self.count} time{'s' * (self.count != 1)}: {', '.join(named)}{more}"
        yield textwrap.indent(self.example, "    ")

    def to_json(self) -> dict[str, Any]:
        """The cause as plain data."""
        return {"heading": self.heading, "count": self.count, "places": list(self.places), "example": self.example}


def decisive(judgements: tuple[Judgement, ...], verdict: Verdict) -> Judgement:
    """The judgement that names the cause of a case: the first judgement that counts as the case's verdict, since oracles are asked in order of importance.

    Args:
        judgements: what the oracles said about the case.
        verdict: the verdict of the case.
    """
    return next(judgement for judgement in judgements if judgement.counts is verdict)


def without_particulars(reason: str) -> str:
    """The first part of a reason, without what differs between two cases of one cause.

    Example:
        >>> without_particulars("rank 0 raised OSError([Errno 5]) at writer.finish; rank 1 returned")
        'rank _ raised OSError_ at _'
    """
    return _PARTICULARS.sub("_", reason).partition(";")[0]
