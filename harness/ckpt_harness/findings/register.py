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
from pathlib import Path
from typing import Any, NamedTuple

from ckpt_harness.disk.durability import MODELS, SHOWN
from ckpt_harness.errors import UsageError
from ckpt_harness.faults.calling import EXECUTORS, OVERLAPS, STAGINGS, WAYS
from ckpt_harness.faults.fault import Fault
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.sites import OPERATION_KINDS, SITES
from ckpt_harness.findings.signature import ROLES, Signature, matches
from ckpt_harness.judging.model import Acting, Expectation
from ckpt_harness.judging.oracles import ORACLES, Evidence, Outcome
from ckpt_harness.judging.verdict import Judgement, Verdict

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


class Setting(NamedTuple):
    """What a case ran on.

    Attributes:
        engine: name of the engine.
        way: name of the way of calling.
        planner: name of the kind of planner.
        background: how an async save was done: executor, staging and overlap.
        onto: what a save found at its place.
    """

    engine: str
    way: str
    planner: str
    background: str
    onto: str = "nothing"

    @classmethod
    def of(cls, engine: str, evidence: Evidence) -> Setting:
        """That of a case."""
        return cls(engine, evidence.way, evidence.planner, evidence.background, evidence.onto)

    def called(self, kind: str) -> str:
        """How an operation of a kind was called, in the words of an entry's ``calls``."""
        return f"{self.way} {kind} {self.planner}{' onto a checkpoint' if self.onto == 'checkpoint' else ''}"


@dataclass(frozen=True)
class Entry:
    """A known finding.

    Attributes:
        id: stable, such as ``DCP-001``.
        title: the finding in one line.
        engines: patterns of engine names.
        versions: versions of torch it was recorded for.
        operations: kinds of operation.
        calls: patterns of how the operation is called: way, kind of operation and kind of planner, such as ``groups save default``; where a save
            overwrites, ``onto a checkpoint`` follows.
        sites: patterns of the decisive fault's site; none for a finding that takes no fault, and that need not show in every case.
        effects: patterns of the decisive fault's effect.
        oracles: the oracles whose violation it explains.
        ranks: how many ranks it takes to show; a case with fewer may show it, and need not.
        signatures: the ways in which it shows.
        about: what happens and why, in a few sentences.
        source: torch's file and function.
        reproducer: file name of the stand-alone script.
        reports: public reports of it.
        newer: what is known of newer releases.
        replay: a line that shows it.
        background: patterns of how an async save is done: executor, staging and overlap, such as ``process writer none``.
        sometimes: whether it need not show each time that one of its faults decides.
        crashes: for a finding about crashes, patterns of what a crash may leave: onto what was saved, the model, and what a reader gets, such as
            ``overwrite * mixture``. It is about no fault of a plan then, and has no signature.
        packages: for a finding about somebody else's package, what it was recorded for: ``name==version``.
    """

    id: str
    title: str
    engines: tuple[str, ...]
    versions: tuple[str, ...]
    operations: tuple[str, ...]
    calls: tuple[str, ...]
    sites: tuple[str, ...]
    effects: tuple[str, ...]
    oracles: tuple[str, ...]
    ranks: int
    signatures: tuple[Signature, ...]
    about: str
    source: str
    reproducer: str
    reports: tuple[str, ...]
    newer: str
    replay: str
    background: tuple[str, ...] = ("*",)
    sometimes: bool = False
    crashes: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()

    def deciding(self, setting: Setting, expectation: Expectation) -> list[Acting]:
        """The decisive faults of an operation that the entry is about."""
        if not self._applies(setting, expectation):
            return []
        return [acting for acting in expectation.decisive if self._is_about(acting.bound.fault, acting.where)]

    def _applies(self, setting: Setting, expectation: Expectation) -> bool:
        kind = expectation.operation.partition("[")[0]
        done = matches(self.calls, setting.called(kind)) and matches(self.background, setting.background)
        return done and kind in self.operations and matches(self.engines, setting.engine)

    def _is_about(self, fault: Fault, where: str) -> bool:
        """Whether a fault is one of the entry's: at its own site or, below the storage, within the call of that site."""
        return (matches(self.sites, fault.site) or matches(self.sites, where)) and matches(self.effects, str(fault.effect))

    def shows(self, setting: Setting, expectation: Expectation, outcomes: Mapping[int, Outcome]) -> bool:
        """Whether an operation was struck by one of the entry's faults and ended in one of its ways, on every rank."""
        if not self.sites:  # it takes no fault
            return self._applies(setting, expectation) and any(one.allows(expectation, outcomes, frozenset()) for one in self.signatures)
        deciding = self.deciding(setting, expectation)
        return any(signature.shows(expectation, outcomes, deciding) for signature in self.signatures)

    def spoils(self, setting: Setting, expectation: Expectation, fired: frozenset[tuple[str, int]]) -> bool:
        """Whether one of the entry's faults fired in company. What the others then lead to cannot be foretold, so no signature is asked for.

        Nothing hides behind this for long: every fault of such a plan is also tried without company.
        """
        faults = [FaultPlan.parse(text).faults[0] for text in sorted({text for text, _ in fired})]
        within = {acting.bound.fault: acting.where for acting in expectation.decisive}
        return len(faults) > 1 and self._applies(setting, expectation) and any(self._is_about(fault, within.get(fault, fault.site)) for fault in faults)

    def struck(self, setting: Setting, expectation: Expectation, outcomes: Mapping[int, Outcome]) -> set[int]:
        """Ranks that ended as victims of the entry do, whatever became of the others."""
        deciding = self.deciding(setting, expectation)
        victims = {rank for signature in self.signatures for rank in signature.victims(deciding)} & outcomes.keys()
        return {rank for rank in victims if self.shows(setting, expectation, {rank: outcomes[rank]})}

    def must_show(self, setting: Setting, expectation: Expectation, fired: frozenset[tuple[str, int]]) -> bool:
        """Whether the entry's faults, and no others, decided an operation of enough ranks: if it does not show then, it is gone.

        Args:
            setting: what it ran on.
            expectation: what the operation had to lead to.
            fired: (text of the fault, rank) of the faults that fired.
        """
        deciding = [one for one in self.deciding(setting, expectation) if any(signature.victims([one]) for signature in self.signatures)]
        alone = len(deciding) == len(expectation.decisive) and all((str(one.bound.fault), one.rank) in fired for one in deciding)
        return bool(deciding) and not self.sometimes and alone and len(expectation.ranks) >= self.ranks


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
        """What ships with the harness: findings about torch's own DCP, and about the packages of others that the harness has engines for."""
        files = importlib.resources.files("ckpt_harness.findings")
        return cls([entry for name in ("dcp.toml", "third_party.toml") for entry in _entries(files.joinpath(name).read_text("utf-8"), name)])

    @classmethod
    def read(cls, path: Path) -> Register:
        """An adopter's register file, which works as the shipped one does: there is no other way to expect a violation.

        Raises:
            UsageError: unreadable, or an entry that lacks a field or holds an unknown or ill-typed one.
        """
        try:
            return cls(_entries(path.read_text("utf-8"), str(path)))
        except OSError as error:
            raise UsageError(f"findings register {path}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"findings register {path}: not UTF-8: {error.reason}") from error

    def __add__(self, other: Register) -> Register:
        return Register((*self.entries, *other.entries))

    def mark(self, judgements: Iterable[Judgement], engine: str, evidence: Evidence) -> list[Judgement]:
        """Marks the violations that an entry describes, and that are not marked yet."""
        marked, setting = [], Setting.of(engine, evidence)
        for judgement in judgements:
            entry = self._explains(judgement, setting, evidence) if judgement.verdict is Verdict.VIOLATED and judgement.known is None else None
            marked.append(judgement if entry is None else dataclasses.replace(judgement, known=entry.id))
        return marked

    def _explains(self, judgement: Judgement, setting: Setting, evidence: Evidence) -> Entry | None:
        for expectation in evidence.forecast.expectations:
            if judgement.is_about(expectation.operation, expectation.ranks):
                ended = evidence.retried(expectation) if judgement.oracle == "recovery" else evidence.of(expectation)
                entry = self._entry_for(judgement.oracle, setting, expectation, ended)
                if entry is not None:
                    return entry
                for one in self.entries:
                    if judgement.oracle in one.oracles and one.spoils(setting, expectation, evidence.fired):
                        return one
        return None

    def _entry_for(self, oracle: str, setting: Setting, expectation: Expectation, outcomes: Mapping[int, Outcome]) -> Entry | None:
        """The entry that explains how all ranks ended; beside its own victims there may be some of other entries, which ended as those say."""
        struck = {entry.id: entry.struck(setting, expectation, outcomes) for entry in self.entries}
        for entry in self.entries:
            beside = set().union(*(ranks for name, ranks in struck.items() if name != entry.id)) - struck[entry.id]
            rest = {rank: one for rank, one in outcomes.items() if rank not in beside}
            if oracle in entry.oracles and entry.shows(setting, expectation, rest):
                return entry
        return None

    def covered(self, engine: str, evidence: Evidence) -> set[str]:
        """Ids of the entries that a case had to show, whether or not it did. What somebody else's package does stands in for what DCP would do alone."""
        ids: set[str] = set()
        for one in evidence.forecast.expectations:
            due = [entry for entry in self.entries if entry.must_show(Setting.of(engine, evidence), one, evidence.fired)]
            due = [entry for entry in due if entry.oracles != ("recovery",) or evidence.retried(one)]
            ids |= {entry.id for entry in due if entry.packages or not any(other.packages for other in due)}
        return ids

    def known_crash(self, engine: str, what: str) -> str | None:
        """Id of the entry that describes what a crash may leave, if there is one.

        Args:
            engine: name of the engine.
            what: onto what was saved, the model, and what a reader gets, such as ``overwrite kill mixture``.
        """
        return next((entry.id for entry in self.entries if matches(entry.engines, engine) and matches(entry.crashes, what)), None)

    def recorded_here(self, name: str) -> bool:
        """Whether the entry ``name`` was recorded for the torch that is installed, and for the packages that it is about."""
        installed = importlib.metadata.version("torch").partition("+")[0]
        return any(entry.id == name and installed in entry.versions and all(map(_is_installed, entry.packages)) for entry in self.entries)


def _is_installed(requirement: str) -> bool:
    name, _, version = requirement.partition("==")
    try:
        return importlib.metadata.version(name) == version
    except importlib.metadata.PackageNotFoundError:
        return False


# -- reading

_LISTS = ("engines", "versions", "operations", "calls", "sites", "effects", "oracles", "reports")
_OPTIONAL_LISTS = ("background", "crashes", "packages")
_OPTIONAL = (*_OPTIONAL_LISTS, "sometimes")
_TEXTS = ("id", "title", "about", "source", "reproducer", "newer", "replay")
_FIELDS = (*_TEXTS, *_LISTS, "ranks")
_NARROWING = ("sites", "effects")


def _entries(text: str, name: str) -> list[Entry]:
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"findings register {name}: {error}") from error
    tables = document.pop("finding", [])
    if document or not (isinstance(tables, list) and all(isinstance(table, dict) for table in tables)):
        raise UsageError(
            f"findings register {name}: holds {', '.join(map(repr, document)) or 'no list of findings'}; valid: [[finding]] tables alone"
        )
    return [_entry(table, f"findings register {name}: entry {table.get('id', '?')!r}") for table in tables]


def _entry(table: Mapping[str, Any], where: str) -> Entry:
    needed = _FIELDS if "crashes" in table else (*_FIELDS, "signature")
    lacks, unknown = [key for key in needed if key not in table], [key for key in table if key not in (*_FIELDS, "signature", *_OPTIONAL)]
    if lacks or unknown:
        wrong = [f"lacks {', '.join(lacks)}"] * bool(lacks) + [f"has unknown {', '.join(unknown)}"] * bool(unknown)
        raise UsageError(f"{where} {' and '.join(wrong)}; fields: {', '.join((*needed, *_OPTIONAL))}")
    for key in _TEXTS:
        if not isinstance(table[key], str) or not table[key].strip():
            raise UsageError(f"{where}: {key} is {table[key]!r}; valid: a text")
    if not isinstance(table["ranks"], int) or table["ranks"] < 1:
        raise UsageError(f"{where}: ranks is {table['ranks']!r}; valid: a number of ranks, from 1")
    if not isinstance(table.get("sometimes", False), bool):
        raise UsageError(f"{where}: sometimes is {table['sometimes']!r}; valid: true, false")
    lists = {key: _texts(table[key], f"{where}: {key}") for key in (*_LISTS, *_OPTIONAL_LISTS) if key in table}
    kinds = [f"{executor} {staging} {overlap}" for executor in EXECUTORS for staging in STAGINGS for overlap in OVERLAPS]
    _meant(lists.get("background", ()), kinds, f"{where}: background", "valid: executor, staging and overlap, such as 'process * none'")
    _known(lists["operations"], OPERATION_KINDS, f"{where}: operations")
    _known(lists["oracles"], ORACLES, f"{where}: oracles")
    # An engine of one's own may have planners of its own, so whatever a pattern says of them is taken for one.
    planners = [pattern.split()[-1] for pattern in lists["calls"] if pattern.split()]
    plain = [f"{way} {kind} {planner}" for way in WAYS for kind in lists["operations"] for planner in planners]
    calls = [*plain, *(f"{call} onto a checkpoint" for call in plain)]
    _meant(lists["calls"], calls, f"{where}: calls", "valid: way, operation and planner, such as 'groups save *'")
    _meant(lists["sites"], SITES, f"{where}: sites", "`ckpt-harness sites` lists them")
    whats = [f"{onto} {model} {shown}" for onto in ("fresh", "overwrite") for model in MODELS for shown in SHOWN]
    _meant(lists.get("crashes", ()), whats, f"{where}: crashes", "valid: fresh or overwrite, model, and what a reader gets, such as 'overwrite * mixture'")
    signatures = table.get("signature", [])
    if not isinstance(signatures, list) or not (signatures or "crashes" in table):
        raise UsageError(f"{where}: has no signature; valid: at least one [[finding.signature]] table")
    fields: dict[str, Any] = {**lists, **{key: table[key].strip() for key in _TEXTS}}
    read = tuple(_signature(one, f"{where}: signature {number}") for number, one in enumerate(signatures, 1))
    return Entry(**fields, ranks=table["ranks"], signatures=read, sometimes=table.get("sometimes", False))


def _signature(table: Any, where: str) -> Signature:
    if not isinstance(table, dict) or not set(table) & set(ROLES):
        raise UsageError(f"{where} says of no role how it ended; roles: {', '.join(ROLES)}")
    _known(table, (*ROLES, *_NARROWING), f"{where} has fields that")
    patterns = {key: _texts([value] if isinstance(value, str) else value, f"{where}: {key}") for key, value in table.items()}
    narrowing = {key: patterns[key] for key in _NARROWING if key in patterns}
    _meant(narrowing.get("sites", ()), SITES, f"{where}: sites", "`ckpt-harness sites` lists them")
    return Signature({role: patterns[role] for role in ROLES if role in patterns}, **narrowing)


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise UsageError(f"{where} is {value!r}; valid: a list of texts")
    return tuple(value)


def _known(names: Iterable[str], choices: Iterable[str], where: str) -> None:
    valid = tuple(choices)
    unknown = [name for name in names if name not in valid]
    if unknown:
        raise UsageError(f"{where} are unknown: {', '.join(unknown)}; valid: {', '.join(valid)}")


def _meant(patterns: Iterable[str], choices: Iterable[str], where: str, valid: str) -> None:
    known = tuple(choices)
    lost = [pattern for pattern in patterns if not any(matches((pattern,), one) for one in known)]
    if lost:
        raise UsageError(f"{where} that are none: {', '.join(lost)}; {valid}")
