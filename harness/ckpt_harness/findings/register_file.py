"""Register files: entries read from TOML, and one clear line for each mistake in a file.

A file holds ``[[finding]]`` tables; docs/FINDINGS.md shows an example. The shipped files and those of adopters are read alike.
"""

from __future__ import annotations

import fnmatch
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from ckpt_harness.disk.durability import MODELS
from ckpt_harness.disk.shown import SHOWN
from ckpt_harness.errors import UsageError, choices, quoted, summary, unknown
from ckpt_harness.faults.calling import CALL_STYLES, EXECUTORS, GONE_ON, OVERLAPS, STAGINGS
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.faults.sites import OPERATION_KINDS, SITES
from ckpt_harness.findings.entry import MOMENTS, Entry
from ckpt_harness.findings.signatures import ROLES, Signature
from ckpt_harness.findings.vague import says_nothing
from ckpt_harness.judging.oracles import OF_JOBS_ALONE, ORACLES

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

_CAPABILITIES = tuple(capability.value for capability in Capability)
_TEXTS = ("id", "title", "about", "source", "reproducer", "replay")
_LISTS = ("engines", "versions", "operations", "calls", "sites", "effects", "oracles", "reports")
_OPTIONAL_LISTS = ("background", "code", "crashes", "escaped", "files", "packages", "reasons", "unless", "within", "workloads")
_OPTIONAL_TEXTS = ("newer", "no_site")
_FLAGS = ("sometimes", "crossing", "halfway", "in_place", "another_coordinator")
_OPTIONAL = (*_OPTIONAL_LISTS, *_OPTIONAL_TEXTS, *_FLAGS)
_FIELDS = (*_TEXTS, *_LISTS, "ranks")
_NARROWING = ("sites", "effects", "calls", "torch", "oracles")
"""Fields of a signature that restrict it to some of the entry's faults, calls or oracles, or to some releases of torch."""
_BEYOND_ENDINGS = frozenset({"commitment", "course", "coverage", "filled", "futures", "hygiene", "integrity", "isolation", "purity", *OF_JOBS_ALONE})
"""Oracles about what is stored, loaded or left, about futures, and about the order of calls. How the ranks ended says little of that."""


def read_entries(text: str, name: str) -> list[Entry]:
    """Reads the entries of one register file.

    Args:
        text: what the file holds.
        name: the file's name, for messages.

    Raises:
        UsageError: the text is no TOML, or an entry lacks a field, or a field is unknown or holds an invalid value.
    """
    where = f"findings register {quoted(name)}"
    try:
        document = tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # brackets that are too deep raise no TOMLDecodeError
        raise UsageError(f"{where}: {summary(error)}") from error
    tables = document.pop("finding", [])
    if document:
        raise UsageError(f"{where} holds {quoted(next(iter(document)))}; valid: [[finding]] tables only")
    if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
        raise UsageError(f"{where}: finding is {quoted(tables)}; valid: [[finding]] tables")
    entries = []
    for number, table in enumerate(tables, 1):
        label = quoted(table["id"]) if "id" in table else str(number)
        entries.append(_entry(table, f"{where}: entry {label}"))
    return entries


def _entry(table: Mapping[str, Any], where: str) -> Entry:
    _check_fields(table, where)
    texts = [*_TEXTS, *(key for key in _OPTIONAL_TEXTS if key in table)]
    for key in texts:
        if not isinstance(table[key], str) or not table[key].strip():
            raise UsageError(f"{where}: {key} is {quoted(table[key])}; valid: a text")
    if type(table["ranks"]) is not int or table["ranks"] < 1:
        raise UsageError(f"{where}: ranks is {quoted(table['ranks'])}; valid: a number of ranks, from 1")
    for flag in _FLAGS:
        if not isinstance(table.get(flag, False), bool):
            raise UsageError(f"{where}: {flag} is {quoted(table[flag])}; valid: true, false")
    if table.get("crossing") and table["sites"]:
        raise UsageError(f"{where}: crossing is true; valid: only with sites = []")
    for flag in ("halfway", "in_place"):
        if table.get(flag) and not set(table["operations"]) <= {"save", "async_save"}:
            raise UsageError(f"{where}: {flag} is true; valid: only with the operations save and async_save")
    lists = {key: _texts(table[key], f"{where}: {key}") for key in (*_LISTS, *_OPTIONAL_LISTS) if key in table}
    if not lists.get("reasons", ("*",)):
        raise UsageError(f"{where}: reasons is []; valid: patterns of what an oracle says, or no reasons")
    _check_lists(lists, where)
    signatures = table.get("signature", [])
    if not isinstance(signatures, list) or not (signatures or "crashes" in table):
        raise UsageError(f"{where} has no signature; valid: at least one [[finding.signature]] table")
    read = [_signature(signature, lists["operations"], f"{where}: signature {number}") for number, signature in enumerate(signatures, 1)]
    _check_narrow(table, lists, read, where)
    fields: dict[str, Any] = {**lists, **{key: table[key].strip() for key in texts}}
    flags = {flag: table.get(flag, False) for flag in _FLAGS}
    return Entry(**fields, **flags, ranks=table["ranks"], signatures=tuple(read))


def _check_narrow(table: Mapping[str, Any], lists: Mapping[str, tuple[str, ...]], signatures: Iterable[Signature], where: str) -> None:
    """An entry has a site, or says why none applies, and each of its signatures excludes something: new violations could hide behind an entry otherwise."""
    if "*" in lists["sites"]:
        raise UsageError(f"{where}: sites holds '*'; valid: the sites at which the finding shows")
    if not (lists["sites"] or "crashes" in table or table.get("crossing") or "no_site" in table):
        raise UsageError(f"{where}: sites is []; valid: sites, or no_site = 'why the finding has none'")
    for number, signature in enumerate(signatures, 1):
        if signature.says_nothing:
            raise UsageError(f"{where}: signature {number} allows every end on every rank; valid: how the ranks end")
    beyond = sorted(_BEYOND_ENDINGS.intersection(lists["oracles"]))
    if beyond and signatures and "reasons" not in lists:
        raise UsageError(f"{where} has no reasons; valid: with the oracle {beyond[0]}, patterns of what the oracle says")
    for reason in lists.get("reasons", ()):
        if says_nothing(reason):
            raise UsageError(f"{where}: reasons holds {quoted(reason)}, which matches whatever was wrong; valid: what was wrong")


def _check_fields(table: Mapping[str, Any], where: str) -> None:
    needed = _FIELDS if "crashes" in table else (*_FIELDS, "signature")
    for key in table:
        if key not in (*_FIELDS, "signature", *_OPTIONAL):
            raise UsageError(f"{where}: {unknown('field', key, (*_FIELDS, 'signature', *_OPTIONAL))}")
    missing = [key for key in needed if key not in table]
    if missing:
        more = f" and {len(missing) - 3} more" if len(missing) > 3 else ""
        raise UsageError(f"{where} lacks {', '.join(missing[:3])}{more}; all fields of the example in docs/FINDINGS.md are needed")


def _check_lists(lists: Mapping[str, tuple[str, ...]], where: str) -> None:
    """Every name must exist, and every pattern must match something; a pattern that matches nothing is a mistake in writing."""
    for operation in lists["operations"]:
        if operation not in OPERATION_KINDS:
            raise UsageError(f"{where}: {unknown('operation', operation, OPERATION_KINDS)}")
    for oracle in lists["oracles"]:
        if oracle not in ORACLES and oracle not in OF_JOBS_ALONE:
            raise UsageError(f"{where}: {unknown('oracle', oracle, (*ORACLES, *OF_JOBS_ALONE))}")
    for capability in lists.get("unless", ()):
        if capability not in _CAPABILITIES:
            raise UsageError(f"{where}: {unknown('capability', capability, _CAPABILITIES)}")
    _check_sites((*lists["sites"], *lists.get("within", ())), where)
    _check_calls(lists["operations"], lists["calls"], where)
    kinds = [f"{executor} {staging} {overlap}" for executor in EXECUTORS for staging in STAGINGS for overlap in (*OVERLAPS, GONE_ON)]
    example = "valid: executor, staging and overlap, such as 'process * none'"
    _check_patterns(lists.get("background", ()), kinds, f"{where}: no background", example)
    results = [f"{save} {model} {shown} {moment}" for save in ("fresh", "overwrite") for model in MODELS for shown in SHOWN for moment in MOMENTS]
    example = "valid: save, model, result and moment, such as 'overwrite kill error in write'"
    _check_patterns(lists.get("crashes", ()), results, f"{where}: no crash", example)


def _check_calls(operations: Iterable[str], patterns: Iterable[str], where: str) -> None:
    valid = "valid: way, operation and planner, such as 'groups save *'"
    _check_patterns(patterns, _possible_calls(operations, patterns), f"{where}: no call", valid)


def _possible_calls(operations: Iterable[str], patterns: Iterable[str]) -> list[str]:
    """The calls that a pattern may match. Any planner that a pattern names counts as one, since an engine may bring planners of its own."""
    planners = [pattern.split()[-1] for pattern in patterns if pattern.split()]
    calls = [f"{way} {kind} {planner}" for way in CALL_STYLES for kind in operations for planner in planners]
    return [*calls, *(f"{call} onto a checkpoint" for call in calls)]


def _signature(table: Any, operations: Iterable[str], where: str) -> Signature:
    if not isinstance(table, dict) or not set(table) & set(ROLES):
        raise UsageError(f"{where} describes no role; roles: {', '.join(ROLES)}")
    for key in table:
        if key not in (*ROLES, *_NARROWING):
            raise UsageError(f"{where}: unknown field {quoted(key)}; valid: {', '.join(ROLES)}; all: docs/FINDINGS.md")
    patterns = {key: _texts([value] if isinstance(value, str) else value, f"{where}: {key}") for key, value in table.items()}
    _check_sites(patterns.get("sites", ()), where)
    _check_calls(operations, patterns.get("calls", ()), where)
    narrowing = {key: patterns[key] for key in _NARROWING if key in patterns}
    return Signature({role: patterns[role] for role in ROLES if role in patterns}, **narrowing)


def _texts(value: Any, where: str) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise UsageError(f"{where} is {quoted(value)}; valid: a list of texts")
    return tuple(value)


def _check_sites(patterns: Iterable[str], where: str) -> None:
    for pattern in patterns:
        if not fnmatch.filter(SITES, pattern):
            raise UsageError(f"{where}: no site matches {quoted(pattern)}; {choices(SITES, pattern, see='ckpt-harness sites')}")


def _check_patterns(patterns: Iterable[str], texts: Iterable[str], what: str, valid: str) -> None:
    possible = tuple(texts)
    for pattern in patterns:
        if not fnmatch.filter(possible, pattern):
            raise UsageError(f"{what} matches {quoted(pattern)}; {valid}")
