"""Saves every workload with one release of torch, and loads it with another, both ways."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ckpt_harness.campaigns.across.compare import VIOLATIONS, Attempt, Ending, OnRank, Result, judged, succeeded
from ckpt_harness.campaigns.across.elsewhere import Answer
from ckpt_harness.campaigns.across.interpreters import Ended, Release, releases
from ckpt_harness.engines.base import Engine
from ckpt_harness.engines.hooks import watched
from ckpt_harness.engines.names import find_engine
from ckpt_harness.errors import UsageError, choices, quoted
from ckpt_harness.workloads.workload import PARALLEL, SINCE_2_14, WORKLOADS, find_workload

Pair = tuple[str, str]
"""(label of the release that saves, label of the release that loads)."""
_PLAIN = {"operation": "save", "way": "together", "world": "simulated"}
"""Field of a case -> the only value that this campaign knows."""


@dataclass(frozen=True)
class Across:
    """What releases of torch do with each other's checkpoints.

    Attributes:
        engine: name of the engine.
        sizes: numbers of ranks that load; the first is the number that saved.
        releases: label -> the version of Python.
        asked: the pairs that were asked for. The way back, and what each release does with its own checkpoints, run too.
        results: pair -> workload -> what the load amounts to.
    """

    engine: str
    sizes: tuple[int, ...]
    releases: Mapping[str, str]
    asked: tuple[Pair, ...]
    results: Mapping[Pair, Mapping[str, Result]]

    @property
    def endings(self) -> set[Ending]:
        """Every kind of result."""
        return {result.ending for results in self.results.values() for result in results.values()}

    @property
    def all_load(self) -> bool:
        """Whether no checkpoint of a pair that was asked for is refused, or is unavailable though the release that saved it loads it."""
        for before, after in self.asked:
            for workload, result in self.results[before, after].items():
                own = self.results[before, before][workload]
                if result.ending is Ending.REFUSED or (result.ending is Ending.UNAVAILABLE and own.ending is Ending.WHOLE):
                    return False
        return True

    def status(self, *, must_load: bool = False) -> int:
        """The exit status: 1 for a violation, 3 if nothing can be said, else 0.

        Args:
            must_load: whether it counts, too, if a checkpoint of a pair that was asked for does not load (see :attr:`all_load`).
        """
        if self.endings & VIOLATIONS or (must_load and not self.all_load):
            return 1
        return 3 if self.endings <= {Ending.UNAVAILABLE} else 0

    def to_json(self) -> dict[str, Any]:
        """The results as plain data."""
        return {
            "schema": 1,
            "engine": self.engine,
            "ranks": list(self.sizes),
            "releases": [{"torch": label, "python": python} for label, python in self.releases.items()],
            "asked": [list(pair) for pair in self.asked],
            "pairs": [
                {"saved": saved, "loaded": loaded, "workload": workload, "ending": result.ending.value, "why": result.why}
                for (saved, loaded), results in self.results.items()
                for workload, result in results.items()
            ],
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Across:
        """Reads what :meth:`to_json` gave."""
        results: dict[Pair, dict[str, Result]] = {}
        for entry in data["pairs"]:
            results.setdefault((entry["saved"], entry["loaded"]), {})[entry["workload"]] = Result(Ending(entry["ending"]), entry["why"])
        versions = {entry["torch"]: entry["python"] for entry in data["releases"]}
        return cls(data["engine"], tuple(data["ranks"]), versions, tuple((saved, loaded) for saved, loaded in data["asked"]), results)


def across(
    saving: Sequence[str],
    loading: Sequence[str],
    *,
    engine: str = "filesystem",
    ranks: int = 2,
    workloads: Sequence[str] = (),
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Across:
    """Saves each workload with each interpreter's torch, and loads it with the torch of others, with the same number of ranks and with another.

    Args:
        saving: the interpreters whose checkpoints are asked about.
        loading: the interpreters that should load them. The way back is tried as well.
        engine: name of the engine.
        ranks: the number of ranks that save.
        workloads: names of workloads; by default, all that the engine can store and that need no GPU.
        progress: called with the number of operations that are done, and of all.

    Returns:
        What each pair of releases does: those that were asked for, their ways back, and each release with itself.

    Raises:
        UsageError: an interpreter, the engine or a workload cannot be used. Nothing has run then.
    """
    under_test = watched(find_engine(engine))
    with tempfile.TemporaryDirectory(prefix="ckpt-harness-across-") as folder, contextlib.ExitStack() as until:
        root = Path(folder)
        names = _workloads(under_test, workloads)
        _check(under_test, engine, root)
        by_path = releases([*saving, *loading], engine, until)
        asked = dict.fromkeys((by_path[before], by_path[after]) for before in saving for after in loading)
        work = _Run(under_test, engine, root, (ranks, 1 if ranks > 1 else 2), names, progress)
        results = work.run_all(list(dict.fromkeys(by_path.values())), list(asked))
    pairs = tuple((before.label, after.label) for before, after in asked)
    return Across(engine, work.sizes, {release.label: release.python for release in by_path.values()}, pairs, results)


def _workloads(engine: Engine, names: Sequence[str]) -> list[str]:
    """The workloads to save: those, too, that the torch of this process is too old for.

    Raises:
        UsageError: there is no workload of a name, or the engine cannot store it.
    """
    every = {**WORKLOADS, **PARALLEL, **SINCE_2_14}
    able = [name for name, workload in every.items() if not workload.holds & engine.cannot_hold]
    for name in names:
        unable = (every[name] if name in every else find_workload(name)).holds & engine.cannot_hold
        if unable:
            parts = " and ".join(sorted(holding.value for holding in unable))
            raise UsageError(f"workload {name!r} holds {parts}, which engine {engine.name!r} cannot store; {choices(able, name)}")
    return list(dict.fromkeys(names)) or able


def _check(engine: Engine, name: str, root: Path) -> None:
    """Refuses an engine whose checkpoints another process cannot load, or that is not called as ``across`` calls it.

    Raises:
        UsageError: the engine cannot be used.
    """
    for field, plain in _PLAIN.items():
        value = engine.usual.get(field, plain)
        if value != plain:
            raise UsageError(f"engine {quoted(name)} is for {field} {value!r}, and this command knows {field} {plain!r} only; valid: filesystem, ...")
    if engine.one_process or not Path(engine.place(root, "checkpoint")).is_relative_to(root):
        raise UsageError(f"engine {quoted(name)} keeps checkpoints outside of the file system, where no other process finds them; valid: filesystem, ...")


class _Run:
    """Does the work, one interpreter at a time.

    Args:
        engine: the engine, which says where checkpoints are.
        name: the name by which an interpreter finds the engine.
        root: a directory for the checkpoints.
        sizes: numbers of ranks that load; the first is the number that saves.
        workloads: names of the workloads.
        progress: called with the number of operations that are done, and of all.
    """

    def __init__(
        self, engine: Engine, name: str, root: Path, sizes: tuple[int, ...], workloads: Sequence[str], progress: Callable[[int, int], None]
    ) -> None:
        self.sizes = sizes
        self._engine, self._name, self._root, self._workloads = engine, name, root, workloads
        self._saved: dict[Release, dict[str, Attempt]] = {}
        self._progress, self._done, self._total = progress, 0, 0

    def run_all(self, releases: Sequence[Release], asked: Sequence[tuple[Release, Release]]) -> dict[Pair, dict[str, Result]]:
        """Saves with every release, and loads in all pairs: each release its own checkpoints, what was asked for, and the way back.

        Args:
            releases: the releases.
            asked: the pairs that were asked for.

        Returns:
            Pair -> workload -> what the load amounts to.
        """
        ways = dict.fromkeys([*((release, release) for release in releases), *asked, *((after, before) for before, after in asked)])
        self._total = len(self._workloads) * (len(releases) + len(ways) * len(self.sizes))
        self._saved = {release: self._save(release) for release in releases}
        loads: dict[tuple[Release, Release], dict[str, dict[int, Attempt]]] = {}
        for after in releases:
            loads |= self._load([before for before, loading in ways if loading is after], after)
        results: dict[Pair, dict[str, Result]] = {}
        for before, after in ways:  # what each release does with its own checkpoints comes first
            own = results.get((after.label, after.label), {})
            results[before.label, after.label] = {
                name: judged(attempt, loads[before, after].get(name, {}), own.get(name)) for name, attempt in self._saved[before].items()
            }
        return results

    def _save(self, release: Release) -> dict[str, Attempt]:
        """Returns workload -> how saving it ended."""
        items = [self._item(release, name) for name in self._workloads]
        return dict(zip(self._workloads, self._attempts(release, "save", items), strict=True))

    def _load(self, before: Sequence[Release], after: Release) -> dict[tuple[Release, Release], dict[str, dict[int, Attempt]]]:
        """Loads what some releases have saved.

        Returns:
            (release that saved, release that loads) -> workload -> number of ranks -> how loading ended. Without the workloads that could not be saved.
        """
        able = {release: [name for name, attempt in self._saved[release].items() if succeeded(attempt)] for release in before}
        keys = [(release, name, size) for release in before for name in able[release] for size in self.sizes]
        attempts = self._attempts(after, "load", [{**self._item(release, name), "ranks": size} for release, name, size in keys])
        loads: dict[tuple[Release, Release], dict[str, dict[int, Attempt]]] = {(release, after): {} for release in before}
        for (release, name, size), attempt in zip(keys, attempts, strict=True):
            loads[release, after].setdefault(name, {})[size] = attempt
        self._advance(len(before) * len(self._workloads) * len(self.sizes) - len(keys))
        return loads

    def _item(self, saving: Release, workload: str) -> Answer:
        """A workload, and where a release saves it."""
        return {"workload": workload, "place": self._engine.place(self._root, f"{saving.label.replace(' ', '-')}-{workload}")}

    def _attempts(self, release: Release, what: str, items: Sequence[Answer]) -> list[Attempt]:
        """Has a release do something with each item. An interpreter that ends in the middle of an item goes on with the next.

        Args:
            release: the release.
            what: ``save`` or ``load``.
            items: the items.

        Returns:
            How it ended, for each item.
        """
        attempts: list[Attempt] = []
        while len(attempts) < len(items):
            job = {"do": what, "engine": self._name, "ranks": self.sizes[0], "items": items[len(attempts) :]}
            how = "the interpreter ended"
            try:
                for answer in release.interpreter.answers(job):
                    attempts.append([OnRank(ending["outcome"], ending["error"], tuple(ending["differences"])) for ending in answer["endings"]])
                    self._advance(1)
            except Ended as problem:
                how = str(problem)
            if len(attempts) < len(items):
                attempts.append([OnRank("died", how)])
                self._advance(1)
        return attempts

    def _advance(self, more: int) -> None:
        """Reports that more operations are done."""
        self._done += more
        self._progress(self._done, self._total)
