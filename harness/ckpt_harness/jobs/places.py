"""The places of a job: where each lies, which saves it may hold, what lies there now, and what fresh ranks get from it."""

from __future__ import annotations

import dataclasses
import hashlib
import shutil
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

from ckpt_harness.cases import read_back
from ckpt_harness.cases.described import wrong_by_its_metadata
from ckpt_harness.cases.read_back import read
from ckpt_harness.cases.workspace import Workspace
from ckpt_harness.engines.base import Engine
from ckpt_harness.faults.calling import PARTIAL_LOAD
from ckpt_harness.jobs.binding import BoundCall
from ckpt_harness.jobs.comparing import Candidates
from ckpt_harness.jobs.evidence import EMPTY, Reading, Seen, whole_calls
from ckpt_harness.jobs.varied import Structure


class Places:
    """The places of a running job.

    Args:
        workspace: where the job runs.
        engine: any engine of the job: all of them lay their places alike.
        managed: whether a manager lays the places.

    Attributes:
        directory: the directory of the manager.
        readings: content -> what fresh ranks got from it.
    """

    def __init__(self, workspace: Workspace, engine: Engine, *, managed: bool = False) -> None:
        self._workspace = workspace
        self._engine = engine
        self._root = workspace.root / "job"
        self._root.mkdir(exist_ok=True)
        self._managed = managed
        self.directory = self._root / "managed"
        self._paths: dict[str, str] = {}
        self._candidates: dict[str, list[BoundCall]] = {}
        self._made: dict[int, str] = {}
        self._contents: dict[str, str] = {}
        self._seen: dict[str, Seen] = {}
        self._shown: Mapping[str, Seen] = {}
        self.readings: dict[str, tuple[Reading, ...]] = {}

    def path(self, place: str) -> str:
        """Returns where a place lies."""
        if place not in self._paths and not self._managed:
            self._paths[place] = self._engine.place(Path(self._root), place)
        return self._paths[place]

    def lay(self, paths: Mapping[str, str]) -> None:
        """Notes where a manager lays places.

        Args:
            paths: place -> where it lies.
        """
        self._paths |= paths

    def begin(self, place: str, call: BoundCall) -> None:
        """A save to a place begins: from now on, the place may hold what it saves."""
        if not self._managed:
            self.path(place)
        self._candidates.setdefault(place, []).append(call)
        self._candidates[place] = self._candidates.pop(place)  # the place that was saved last comes last
        assert call.save is not None
        self._made[call.save] = self._made[call.later] = call.call

    def candidates(self, place: str) -> tuple[BoundCall, ...]:
        """Returns the saves that a place may hold."""
        return tuple(self._candidates.get(place, ()))

    def candidates_for(self, place: str, structure: Structure) -> Candidates:
        """Returns the saves of one structure that a place may hold, for a comparison with what was loaded."""
        alike = [call for call in self.candidates(place) if call.structure == structure.in_whole]
        later = {call.call: call.later for call in alike if call.case.case.operation == "async_save"}
        return Candidates({call.call: call.save for call in alike if call.save is not None}, self._made, later)

    def newest(self, busy: Collection[str]) -> str | None:
        """Returns the place that was saved last and holds a commit marker; None if there is none.

        Args:
            busy: places that a save is writing to; they do not count.
        """
        return next(iter(reversed(self.committed(busy))), None)

    def committed(self, busy: Collection[str]) -> list[str]:
        """Returns the places that hold a commit marker, in the order in which they were saved last."""
        return [place for place in self._candidates if place not in busy and self._engine.committed(self._paths[place])]

    def remove(self, place: str) -> None:
        """Removes what lies at a place."""
        self._engine.discard(self._paths[place])

    def close(self) -> None:
        """Removes everything that the job stored."""
        for path in self._paths.values():
            self._engine.discard(path)
        shutil.rmtree(self.directory, ignore_errors=True)

    # -- looking

    def look(self, busy: Collection[str]) -> Mapping[str, Seen]:
        """Looks at each place, and reads each content that was not read before.

        Args:
            busy: places that a save is writing to; their contents are not read.

        Returns:
            Place -> what lies there; the same object as before where nothing has changed, so that a long job stays small.
        """
        for place, path in self._paths.items():
            before, seen = self._seen.get(place, Seen()), self._now(path)
            self._seen[place] = seen
            if place in busy:
                continue
            if seen.content == EMPTY:
                self._candidates[place] = []
            else:
                self._read(place, seen, before)
        if self._shown != self._seen:
            self._shown = dict(self._seen)
        return self._shown

    def seen(self, place: str) -> Seen:
        """Returns what lay at a place at the last look."""
        return self._seen.get(place, Seen())

    def _now(self, path: str) -> Seen:
        files = self._engine.fingerprint(path)
        if not files:
            return Seen()
        digest = hashlib.sha256(repr(sorted(files.items())).encode()).hexdigest()
        content = self._contents.setdefault(digest, f"content {len(self._contents) + 1}")
        return Seen(self._engine.committed(path), content, len(files))

    def _read(self, place: str, seen: Seen, before: Seen) -> None:
        """Reads a content, if it is committed, or took the place of one that was whole; and forgets the saves that the place cannot hold any more."""
        candidates = self.candidates(place)
        if seen.content not in self.readings and candidates and (seen.committed or before.committed):
            readings = tuple(self._readings(place, candidates))
            self.readings[seen.content] = self._described(place, readings) if seen.committed and whole_calls(readings) else readings
        whole = whole_calls(self.readings.get(seen.content, ()))
        if len(whole) == 1:
            self._candidates[place] = [call for call in candidates if call.call == whole[0]]

    def _readings(self, place: str, candidates: Sequence[BoundCall]) -> Iterator[Reading]:
        """Reads a place as each of the structures that it may have, on as many ranks as saved it and on another number."""
        flaws = tuple(self._engine.flaws(self._paths[place]))
        for structure in dict.fromkeys(call.structure for call in candidates):
            calls = [call for call in candidates if call.structure == structure]
            size = len(calls[-1].ranks)
            sizes = (1,) if calls[-1].case.call_style.alone else (size, 1 if size > 1 else 2)
            for ranks in sizes:
                yield self._reading(place, calls, ranks, flaws)

    def _described(self, place: str, readings: Sequence[Reading]) -> tuple[Reading, ...]:
        """The same readings, with what somebody finds wrong who loads all that the metadata names."""
        wrong = wrong_by_its_metadata(self._engine, self._paths[place], lambda result: str(self._workspace.outcome(result)))
        return tuple(dataclasses.replace(reading, described=wrong) for reading in readings)

    def _reading(self, place: str, calls: Sequence[BoundCall], ranks: int, flaws: tuple[str, ...]) -> Reading:
        case, last = calls[-1].case, calls[-1]
        numbers = {call.save: call.call for call in calls if call.save is not None}
        got = read(
            case.engine,
            case.workload,
            self._paths[place],
            saves=list(numbers),
            ranks=ranks,
            shards=case.shards or ranks,
            group=not case.call_style.alone,
            planner="default" if case.case.planner == PARTIAL_LOAD else case.case.planner,  # a checkpoint that lacks a part is not whole
            later=last.later if last.case.case.operation == "async_save" else None,
            made=self._made,
            in_words=lambda result: str(self._workspace.outcome(result)),
        )
        return _as_evidence(got, numbers, self._made, flaws)


def _as_evidence(got: read_back.Reading, numbers: Mapping[int, str], made: Mapping[int, str], flaws: tuple[str, ...]) -> Reading:
    return Reading(
        ranks=got.ranks,
        failed=got.failed,
        hung=got.hung,
        calls=tuple(dict.fromkeys(made[save] for save in got.saves)),
        differences={numbers[save]: texts for save, texts in got.differences.items()},
        flaws=flaws,
        later=got.later,
    )
