"""The findings register: reading it, and recognising its entries in what a case showed.

An entry matches on the *decisive fault* (the one that the model says acts) **and** the *observed signature* (how each role ended, and where it waits). Any
other signature is new, so that nothing hides behind an entry.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.resources
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from harness.errors import UsageError
from harness.expectation import Acting, Expectation
from harness.oracles import Evidence, Outcome
from harness.verdict import Judgement, Verdict

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROLES = ("victim", "coordinator", "other")
"""Whose outcome a signature tells: ranks where a decisive fault acts; the coordinator, unless it is one; all others."""


@dataclass(frozen=True)
class Entry:
    """A known finding.

    Attributes:
        id: stable, such as ``DCP-001``.
        title: the finding in one line.
        engines: patterns of engine names.
        versions: versions of torch it was recorded for.
        operations: kinds of operation.
        sites: patterns of the decisive fault's site.
        effects: patterns of the decisive fault's effect.
        oracles: the oracles whose violation it explains.
        signatures: alternatives; each maps a role to a pattern of how it ended.
        about: what happens and why, in a few sentences.
        source: torch's file and function.
        reproducer: file name of the stand-alone script.
        reports: public reports of it.
        newer: what is known of newer releases.
        replay: a line that shows it.
    """

    id: str
    title: str
    engines: tuple[str, ...]
    versions: tuple[str, ...]
    operations: tuple[str, ...]
    sites: tuple[str, ...]
    effects: tuple[str, ...]
    oracles: tuple[str, ...]
    signatures: tuple[Mapping[str, str], ...]
    about: str
    source: str
    reproducer: str
    reports: tuple[str, ...]
    newer: str
    replay: str

    def covers(self, engine: str, expectation: Expectation) -> bool:
        """Whether the decisive fault of an operation is one that the entry is about."""
        kind = expectation.operation.partition("[")[0]
        return kind in self.operations and _any(self.engines, engine) and any(self._decides(acting) for acting in expectation.decisive)

    def _decides(self, acting: Acting) -> bool:
        return _any(self.sites, acting.bound.fault.site) and _any(self.effects, str(acting.bound.fault.effect))

    def shows(self, observed: Mapping[str, frozenset[str]]) -> bool:
        """Whether what was seen is one of the entry's signatures, in every role that was there."""
        return any(
            all(role in signature and all(fnmatchcase(one, signature[role]) for one in seen) for role, seen in observed.items())
            for signature in self.signatures
        )


class Register:
    """The entries of one or more register files.

    Args:
        entries: with distinct ids.

    Raises:
        UsageError: two entries share an id.
    """

    def __init__(self, entries: Sequence[Entry] = ()) -> None:
        ids = [entry.id for entry in entries]
        twice = sorted({one for one in ids if ids.count(one) > 1})
        if twice:
            raise UsageError(f"findings register: ids used twice: {', '.join(twice)}")
        self.entries = tuple(entries)

    @classmethod
    def shipped(cls) -> Register:
        """What ships with the harness: findings about torch's own DCP."""
        return cls(_entries(importlib.resources.files("harness.findings").joinpath("dcp.toml").read_text("utf-8"), "dcp.toml"))

    @classmethod
    def read(cls, path: Path) -> Register:
        """An adopter's register file, in place of the shipped one's mechanism: there is no other way to expect a violation.

        Raises:
            UsageError: unreadable, or an entry lacks a field.
        """
        try:
            return cls(_entries(path.read_text("utf-8"), str(path)))
        except OSError as error:
            raise UsageError(f"findings register {path}: {error.strerror}") from error

    def __add__(self, other: Register) -> Register:
        return Register((*self.entries, *other.entries))

    def mark(self, judgements: Iterable[Judgement], engine: str, evidence: Evidence) -> list[Judgement]:
        """Marks the violations that an entry describes."""
        marked = []
        for judgement in judgements:
            entry = self._explains(judgement, engine, evidence) if judgement.verdict is Verdict.VIOLATED else None
            marked.append(judgement if entry is None else dataclasses.replace(judgement, known=entry.id))
        return marked

    def _explains(self, judgement: Judgement, engine: str, evidence: Evidence) -> Entry | None:
        for expectation in evidence.forecast.expectations:
            if expectation.operation != judgement.operation:
                continue
            observed = signature(expectation, evidence.outcomes.get(expectation.operation, {}))
            for entry in self.entries:
                if judgement.oracle in entry.oracles and entry.covers(engine, expectation) and entry.shows(observed):
                    return entry
        return None

    def covered(self, engine: str, evidence: Evidence) -> set[str]:
        """Ids of the entries whose decisive fault acted in a case, whether or not they showed."""
        return {entry.id for entry in self.entries for one in evidence.forecast.expectations if entry.covers(engine, one)}

    def recorded_here(self, name: str) -> bool:
        """Whether the entry ``name`` was recorded for the torch that is installed."""
        installed = importlib.metadata.version("torch").partition("+")[0]
        return any(entry.id == name and installed in entry.versions for entry in self.entries)


def signature(expectation: Expectation, outcomes: Mapping[int, Outcome]) -> dict[str, frozenset[str]]:
    """How each role ended, in words that do not depend on the size of the world.

    Args:
        expectation: what the operation had to lead to; says who the victims are.
        outcomes: how it ended on each rank.
    """
    victims = {acting.rank for acting in expectation.decisive}
    seen: dict[str, set[str]] = {}
    for rank, outcome in outcomes.items():
        role = "victim" if rank in victims else "coordinator" if rank == expectation.coordinator else "other"
        seen.setdefault(role, set()).add(_class_of(outcome, expectation))
    return {role: frozenset(classes) for role, classes in seen.items()}


def _class_of(outcome: Outcome, expectation: Expectation) -> str:
    if outcome.kind == "hung":
        return f"hung {outcome.where}"
    if outcome.kind != "raised" or outcome.error is None:
        return outcome.kind
    told = outcome.error.failures
    if told is None:
        return f"raised {outcome.error.short_name}: {outcome.error.message}"
    whom = "exact ranks" if set(told) == set(expectation.failures) else "wrong ranks"
    return f"raised CheckpointException in {outcome.error.step}, {whom}: {', '.join(sorted({error.short_name for error in told.values()}))}"


def _any(patterns: Iterable[str], text: str) -> bool:
    return any(fnmatchcase(text, pattern) for pattern in patterns)


_LISTS = ("engines", "versions", "operations", "sites", "effects", "oracles", "reports")
_TEXTS = ("id", "title", "about", "source", "reproducer", "newer", "replay")


def _entries(text: str, name: str) -> list[Entry]:
    try:
        tables = tomllib.loads(text).get("finding", [])
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"findings register {name}: {error}") from error
    return [_entry(table, name) for table in tables]


def _entry(table: Mapping[str, Any], name: str) -> Entry:
    wanted = {*_LISTS, *_TEXTS, "signature"}
    if set(table) != wanted:
        differs = f"lacks {sorted(wanted - set(table))}, and has unknown {sorted(set(table) - wanted)}"
        raise UsageError(f"findings register {name}: entry {table.get('id', '?')!r} {differs}; fields: {', '.join(sorted(wanted))}")
    for signature_ in table["signature"]:
        if not signature_ or not set(signature_) <= set(ROLES):
            raise UsageError(f"findings register {name}: entry {table['id']!r}: roles of a signature: {', '.join(ROLES)}; got {sorted(signature_)}")
    return Entry(
        **{key: tuple(table[key]) for key in _LISTS},
        **{key: str(table[key]).strip() for key in _TEXTS},
        signatures=tuple(dict(one) for one in table["signature"]),
    )
