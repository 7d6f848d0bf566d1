"""What ``check_engine`` finds: each capability with its verdict, the count of each oracle's verdicts, and every violation with its replay line."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from ckpt_harness.campaigns.crashes import Crashes
from ckpt_harness.conformance.causes import Cause
from ckpt_harness.faults.protocol import Capability


@dataclass(frozen=True)
class Claim:
    """What was found of a capability.

    Attributes:
        capability: the capability.
        claimed: whether the engine claims it.
        tried: number of judgements that were about the capability.
        broken: what contradicts the capability; each text ends with the line that replays the violation.

    Example:
        >>> Claim(Capability.CHECKSUMS, claimed=True, tried=40, broken=()).verdict
        'holds'
    """

    capability: Capability
    claimed: bool
    tried: int
    broken: tuple[str, ...]

    @property
    def verdict(self) -> str:
        """``holds``, ``VIOLATED``, ``not claimed``, ``not claimed, though it held``, or ``not tried``."""
        if not self.tried:
            return "not tried"
        if self.claimed:
            return "VIOLATED" if self.broken else "holds"
        return "not claimed" if self.broken else "not claimed, though it held"


@dataclass(frozen=True)
class EngineReport:
    """Everything that ``check_engine`` found of an engine. ``str()`` gives the text that ``ckpt-harness check`` prints.

    Attributes:
        engine: name of the engine.
        cases: number of cases that were run.
        claims: one claim for each capability.
        oracles: oracle -> verdict -> number of judgements; ``known`` and ``not claimed`` are counted apart from the verdicts.
        wrong: the violations that are neither known nor of an unclaimed capability, similar ones once: the evidence and the replay line of each.
        causes: the same violations, grouped by their cause; each cause has its simplest example.
        known: ids of the known findings that occurred.
        crashes: what crashes leave, under each durability model, on an empty place and on a checkpoint; empty if no file system can be recorded.
        damages: number of damaged files that were loaded; 0 if the engine stores elsewhere than in a directory.
    """

    engine: str
    cases: int
    claims: tuple[Claim, ...]
    oracles: Mapping[str, Mapping[str, int]]
    wrong: tuple[str, ...]
    causes: tuple[Cause, ...]
    known: tuple[str, ...]
    crashes: tuple[Crashes, ...]
    damages: int

    @property
    def ok(self) -> bool:
        """Whether there is no new violation."""
        return not self.wrong

    @property
    def crash_states(self) -> int:
        """Number of states after crashes that were loaded."""
        return sum(crashes.judged for crashes in self.crashes)

    def to_json(self) -> dict[str, Any]:
        """Returns plain data, with torch's version. ``docs/ENGINES.md`` is made from such data."""
        return {
            "engine": self.engine,
            "torch": importlib.metadata.version("torch").partition("+")[0],
            "cases": self.cases,
            "crashes": self.crash_states,
            "damages": self.damages,
            "claims": {claim.capability.value: claim.verdict for claim in self.claims},
            "oracles": {name: dict(counts) for name, counts in self.oracles.items()},
            "known": list(self.known),
            "wrong": list(self.wrong),
            "causes": [cause.to_json() for cause in self.causes],
        }

    def __str__(self) -> str:
        lines = [f"{self.engine}: {self.cases} cases, {self.crash_states} states after crashes, {self.damages} damaged files"]
        lines += [f"  {claim.capability.value}: {claim.verdict}" for claim in self.claims]
        if self.known:
            lines.append(f"known findings: {', '.join(self.known)}")
        if self.ok:
            lines.append("no new violation")
        else:
            lines += self._causes()
        return "\n".join(lines)

    def _causes(self) -> Iterator[str]:
        yield f"what counts against the engine: {len(self.causes)} cause{'s' * (len(self.causes) != 1)}"
        for number, cause in enumerate(self.causes, 1):
            heading, *rest = cause.lines()
            yield from ("", f"{number}. {heading}", *rest)
        more = len(self.wrong) - len(self.causes)
        if more > 0:
            yield f"\n{more} more violation{'s' * (more != 1)} at other sites: the file that --json FILE writes has all of them, in \"wrong\""


class CheckInterrupted(KeyboardInterrupt):
    """A check was interrupted.

    Attributes:
        report: what was found until then.
    """

    def __init__(self, report: EngineReport) -> None:
        super().__init__()
        self.report = report
