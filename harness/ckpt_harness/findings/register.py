"""The findings register: all known findings, and the question which of them a case showed, or should have shown."""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.resources
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from ckpt_harness.engines.names import ships
from ckpt_harness.errors import UsageError, quoted
from ckpt_harness.findings.entry import Entry
from ckpt_harness.findings.matching import Comparison, Setting, is_about
from ckpt_harness.findings.register_file import read_entries
from ckpt_harness.findings.signatures import matches, torch_release
from ckpt_harness.judging.evidence import Evidence, Outcome
from ckpt_harness.judging.expectation import Expectation
from ckpt_harness.judging.verdict import Judgement, Verdict

_SHIPPED = ("dcp.toml", "third_party.toml")


class Register:
    """The entries of one or more register files.

    Args:
        entries: known findings, each with an id of its own.
        files: the adopter's files that they were read from; a replay line names these files.

    Raises:
        UsageError: two entries share an id.

    Example:
        >>> shipped = Register.shipped()
        >>> shipped.entries[0].id
        'DCP-001'
        >>> both = shipped + Register()
        >>> both.entries == shipped.entries
        True
    """

    def __init__(self, entries: Sequence[Entry] = (), files: Sequence[str] = ()) -> None:
        twice = [id_ for id_, times in Counter(entry.id for entry in entries).items() if times > 1]
        if twice:
            raise UsageError(f"findings register: two entries have the id {quoted(twice[0])}; valid: an id of its own for each entry")
        self.entries = tuple(entries)
        self.files = tuple(files)

    @classmethod
    def shipped(cls) -> Register:
        """The register that ships with the harness: findings about torch's DCP, and about the third-party packages that the harness has engines for."""
        folder = importlib.resources.files("ckpt_harness.findings")
        entries: list[Entry] = []
        for name in _SHIPPED:
            entries += read_entries(folder.joinpath(name).read_text("utf-8"), name)
        return cls([dataclasses.replace(entry, shipped=True) for entry in entries])

    @classmethod
    def read(cls, path: Path) -> Register:
        """Reads an adopter's register file. Such a file is the only way to expect a violation.

        Raises:
            UsageError: the file cannot be read, or an entry lacks a field, or a field is unknown or holds an invalid value.
        """
        try:
            return cls(read_entries(path.read_text("utf-8"), str(path)), [str(path)])
        except OSError as error:
            raise UsageError(f"findings register {quoted(str(path))}: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise UsageError(f"findings register {quoted(str(path))}: not UTF-8: {error.reason}") from error
        except ValueError as error:
            if isinstance(error, UsageError):
                raise
            raise UsageError(f"findings register {quoted(str(path))}: {error}") from error  # a path with a NUL

    def __add__(self, other: Register) -> Register:
        return Register((*self.entries, *other.entries), (*self.files, *other.files))

    def mark(self, judgements: Iterable[Judgement], engine: str, evidence: Evidence, replaced: frozenset[str] = frozenset()) -> list[Judgement]:
        """Marks as known each violation that an entry describes, and each fault that never fired because a crossing ended its save first.

        Args:
            judgements: what the oracles said about the case.
            engine: name of the engine, or of its kin.
            evidence: what the oracles looked at.
            replaced: patterns of the methods of storage classes that the engine does not share with its kin.

        Returns:
            The judgements in the same order. A violation that is marked already keeps its mark.
        """
        judgements = list(judgements)
        if all(judgement.verdict is Verdict.HOLDS for judgement in judgements):
            return judgements
        setting = Setting.of(engine, evidence, replaced)
        marked = [self._marked(judgement, setting, evidence) for judgement in judgements]
        return [self._behind_a_crossing(judgement, setting, evidence) for judgement in marked]

    def _behind_a_crossing(self, judgement: Judgement, setting: Setting, evidence: Evidence) -> Judgement:
        """Marks a judgement about faults that never fired, if a crossing explains how every operation ended in which they had to fire."""
        if judgement.oracle != "fired" or judgement.verdict is not Verdict.VACUOUS:
            return judgement
        if any(text not in evidence.optional for text, _ in evidence.forecast.unreachable - evidence.fired):
            return judgement
        ids: set[str | None] = set()
        for expectation in evidence.forecast.expectations:
            if any(text not in evidence.optional for text, _ in expectation.must_fire - evidence.fired):
                ids.add(self._crossing(setting, expectation, evidence.of(expectation)))
        return judgement if not ids or None in ids else dataclasses.replace(judgement, known=min(filter(None, ids)))

    def _crossing(self, setting: Setting, expectation: Expectation, outcomes: Mapping[int, Outcome]) -> str | None:
        """Id of the entry about a crossing that explains how an operation ended, if there is one."""
        crossings = (entry for entry in self.entries if entry.crossing)
        return next((entry.id for entry in crossings if Comparison(entry, setting, expectation).shows(outcomes)), None)

    def _marked(self, judgement: Judgement, setting: Setting, evidence: Evidence) -> Judgement:
        if judgement.verdict is not Verdict.VIOLATED or judgement.known is not None:
            return judgement
        entry = self._explanation(judgement, setting, evidence)
        return judgement if entry is None else dataclasses.replace(judgement, known=entry.id)

    def _explanation(self, judgement: Judgement, setting: Setting, evidence: Evidence) -> Entry | None:
        """The entry that explains a violation, if there is one."""
        for expectation in evidence.forecast.expectations:
            # What remains at the end may belong to any of the operations.
            if judgement.oracle != "hygiene" and not judgement.is_about(expectation.operation, expectation.ranks):
                continue
            outcomes = evidence.retried(expectation) if judgement.oracle == "recovery" else evidence.of(expectation)
            entry = self._described(judgement, setting, expectation, outcomes)
            if entry is not None:
                return entry
            for entry in self.entries:
                if entry.explains(judgement) and Comparison(entry, setting, expectation).fired_with_others(evidence.fired):
                    return entry
        return None

    def _described(self, judgement: Judgement, setting: Setting, expectation: Expectation, outcomes: Mapping[int, Outcome]) -> Entry | None:
        """The entry that describes how all ranks ended, except for victims of other entries that ended as those entries say."""
        comparisons = [Comparison(entry, setting, expectation) for entry in self.entries]
        victims = [comparison.matching_victims(outcomes) for comparison in comparisons]
        for index, comparison in enumerate(comparisons):
            if not comparison.entry.explains(judgement):
                continue
            of_others = set().union(*victims[:index], *victims[index + 1 :]) - victims[index]
            rest = {rank: outcome for rank, outcome in outcomes.items() if rank not in of_others}
            if comparison.shows(rest, judgement.oracle):
                return comparison.entry
        return None

    def covered(self, engine: str, evidence: Evidence, judgements: Iterable[Judgement] = ()) -> set[str]:
        """Ids of the entries that a case had to show, whether or not the case did.

        An entry about all engines was recorded for the engines that ship with the harness; another engine may do better. Where an entry about a third-party
        package is due, entries about DCP alone are not due: the package's behaviour takes the place of DCP's. Nor is an entry due where another finding
        came first and explains how the operation ended.

        Args:
            engine: name of the engine.
            evidence: what the oracles looked at.
            judgements: what the oracles said about the case, marked by :meth:`mark`.
        """
        explained = [judgement for judgement in judgements if judgement.known is not None]
        setting = Setting.of(engine, evidence)
        ids: set[str] = set()
        for expectation in evidence.forecast.expectations:
            here = [judgement for judgement in explained if judgement.is_about(expectation.operation, expectation.ranks)]
            recorded = [entry for entry in self.entries if ships(engine) or _names(entry, engine)]
            due = [entry for entry in recorded if _is_due(Comparison(entry, setting, expectation), evidence, here)]
            about_packages = [entry for entry in due if entry.packages]
            ids |= {entry.id for entry in about_packages or due}
        return ids

    def known_crash(self, engine: str, what: str, replaced: Iterable[str] = (), capabilities: Iterable[str] = ()) -> str | None:
        """Id of the entry that describes what a crash may leave, if there is one.

        Args:
            engine: name of the engine, or of its kin.
            what: kind of save, durability model, what a reader gets, and when the crash came (:attr:`Entry.crashes`).
            replaced: patterns of the methods of storage classes that the engine does not share with its kin.
            capabilities: names of the capabilities that the engine claims.

        Example:
            >>> Register.shipped().known_crash("filesystem", "overwrite kill mixture in write")
            'DCP-032'
        """
        replaced, capabilities = frozenset(replaced), frozenset(capabilities)
        about = (entry for entry in self.entries if is_about(entry, engine, replaced, capabilities))
        return next((entry.id for entry in about if matches(entry.crashes, what)), None)

    def recorded_here(self, name: str) -> bool:
        """Whether an entry was recorded for the installed torch, and for the installed versions of the packages that it is about.

        Args:
            name: the entry's id.
        """
        for entry in self.entries:
            if entry.id == name:
                return torch_release() in entry.versions and all(map(_is_installed, entry.packages))
        return False


def _is_due(comparison: Comparison, evidence: Evidence, explained: Iterable[Judgement]) -> bool:
    """Whether an operation of a case had to show an entry.

    Args:
        comparison: the entry and the operation.
        evidence: what the oracles looked at.
        explained: the violations of the operation that findings explain.
    """
    if not comparison.must_show(evidence.fired):
        return False
    if comparison.entry.oracles == ("recovery",) and not evidence.retried(comparison.expectation):
        return False
    return not _came_first(explained, comparison.entry)


def _came_first(explained: Iterable[Judgement], entry: Entry) -> bool:
    """Whether another finding explains a violation of a claim that the entry is about, and the entry itself explains none."""
    names = {judgement.known for judgement in explained if judgement.oracle in entry.oracles}
    return bool(names) and entry.id not in names


def _names(entry: Entry, engine: str) -> bool:
    """Whether an entry names an engine by a pattern that does not match all engines."""
    return matches([pattern for pattern in entry.engines if pattern.strip("*")], engine)


def _is_installed(requirement: str) -> bool:
    name, _, version = requirement.partition("==")
    try:
        return importlib.metadata.version(name) == version
    except importlib.metadata.PackageNotFoundError:
        return False
