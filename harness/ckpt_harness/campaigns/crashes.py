"""Crashes: a save is recorded once; then every state of the files that a crash may leave, at every point, is loaded in fresh ranks and judged.

What survives is for a model of :mod:`ckpt_harness.disk.durability` to say. Equal states are judged once, wherever they come from.

Not modelled: a crash of one rank while the others go on (a fault plan with ``kill`` does that), and whatever an engine writes past its ``fs``.
"""

from __future__ import annotations

import hashlib
import itertools
import shlex
import shutil
import tempfile
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ckpt_harness.campaigns.workers import workers
from ckpt_harness.cases.rank_program import ATTEMPT, PREVIOUS, silenced
from ckpt_harness.cases.read_back import read
from ckpt_harness.disk.durability import LIMIT, Model, states_after
from ckpt_harness.disk.entries import State
from ckpt_harness.disk.journal import DiskOp, Files, Journal, files_after
from ckpt_harness.disk.shown import SHOWN, Shown
from ckpt_harness.engines.base import Call
from ckpt_harness.engines.names import find_engine, known_as
from ckpt_harness.errors import UsageError
from ckpt_harness.faults.plan import FaultPlan
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.findings.register import Register
from ckpt_harness.injection.injector import Injector
from ckpt_harness.injection.storage import FaultyStorageWriter
from ckpt_harness.workloads.context import context_here
from ckpt_harness.workloads.workload import find_workload
from ckpt_harness.worlds.base import RankResult
from ckpt_harness.worlds.simulated import SimulatedWorld

UNSAFE: tuple[Shown, ...] = ("mixture", "wrong", "disagreement", "hang")
"""What no crash may leave: something that reads as a checkpoint and is not one, or that ranks do not agree on."""

_STILL = ("flush", "close")
"""Operations that leave the disk as it is."""
_PLACE = "checkpoint"
_CHUNK = 40


@dataclass(frozen=True)
class Scene:
    """What is saved, by whom, and onto what.

    Attributes:
        engine: name of the engine.
        workload: name of the workload.
        ranks: how many ranks save, and load.
        overwrite: whether a committed checkpoint is at the place, instead of nothing.
        seed: of the order in which ranks run.
    """

    engine: str = "filesystem-synced"
    workload: str = "mixed"
    ranks: int = 2
    overwrite: bool = False
    seed: int = 0

    def check(self) -> None:
        """Refuses what cannot run.

        Raises:
            UsageError: an unknown name, or an engine whose disk cannot be reached, or by which ranks do not save together.
        """
        engine = find_engine(self.engine)
        find_workload(self.workload)
        if Capability.FILE_SYSTEM not in engine.capabilities:
            raise UsageError(f"engine {self.engine!r} does not claim {Capability.FILE_SYSTEM.value!r}: what it writes cannot be recorded")
        if "way" in engine.usual:
            raise UsageError(f"engine {self.engine!r} is called in way {engine.usual['way']!r}; valid: engines by which ranks save together")
        place = engine.place(Path("directory"), _PLACE)
        if "://" in place:
            raise UsageError(f"engine {self.engine!r} stores at {place!r}, and durability models are about directories; valid: engines on a file system")


@dataclass(frozen=True)
class Recording:
    """A save, as the disk saw it.

    Attributes:
        ops: what reached the disk, in order; the engine reported success after the last.
        before: the files that were there.
    """

    ops: tuple[DiskOp, ...]
    before: Mapping[str, bytes]


def save(scene: Scene, number: int, journal: Journal, plan: FaultPlan = FaultPlan()) -> Sequence[RankResult]:
    """Saves on simulated ranks.

    Args:
        scene: what is saved.
        number: of the save, whose values the state holds.
        journal: notes what reaches the disk; the checkpoint is below its root.
        plan: what goes wrong.
    """
    engine, workload = find_engine(scene.engine), find_workload(scene.workload)
    place = engine.place(journal.root, _PLACE)
    faults = Injector(plan, journal=journal)

    def body() -> None:
        state = workload.make(context_here(number, scene.ranks))
        writer = FaultyStorageWriter.sharing(engine.make_writer(place), faults)
        engine.save(state, writer, engine.make_save_planner("default"), place, Call())

    results = SimulatedWorld(scene.ranks, seed=scene.seed).run(body)
    faults.end_case()
    return results


def _files_below(root: Path) -> Files:
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def record(scene: Scene, root: Path) -> Recording:
    """Runs a save on simulated ranks, and records it.

    Args:
        scene: what is saved.
        root: an empty directory.

    Raises:
        UsageError: see :meth:`Scene.check`; or the engine cannot even save when nothing goes wrong.
    """
    scene.check()

    def run(number: int) -> Journal:
        journal = Journal(root)
        results = save(scene, number, journal)
        failed = [f"rank {one.rank}: {one.record or one.outcome}" for one in results if one.outcome != "returned"]
        if failed:
            raise UsageError(f"engine {scene.engine!r} cannot save when nothing goes wrong: {'; '.join(failed)}")
        return journal

    if scene.overwrite:
        run(PREVIOUS)
    before = _files_below(root)
    journal = run(ATTEMPT)
    after = _files_below(root)
    told = files_after(journal.ops, before)
    unseen = sorted(path for path in {*told, *after} if told.get(path) != after.get(path))
    if unseen:
        raise UsageError(f"engine {scene.engine!r} writes past its file system: {', '.join(unseen)}; its crashes cannot be told")
    return Recording(tuple(journal.ops), before)


def shown(scene: Scene, files: Files, root: Path) -> Shown:
    """What fresh ranks get of some files.

    Args:
        scene: what was saved.
        files: what is there.
        root: an empty directory.
    """
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return shown_at(scene, root)


def shown_at(scene: Scene, root: Path) -> Shown:
    """What fresh ranks get of what is on the disk.

    Args:
        scene: what was saved.
        root: where; see :func:`save`.
    """
    engine = find_engine(scene.engine)
    place = engine.place(root, _PLACE)
    got = read(engine, find_workload(scene.workload), place, saves=(PREVIOUS, ATTEMPT), ranks=scene.ranks, shards=scene.ranks).shows(PREVIOUS, ATTEMPT)
    return "nothing" if got == "error" and not engine.committed(place) else got


@dataclass(frozen=True)
class Point:
    """A moment at which a crash may come.

    Attributes:
        number: how many operations had acted.
        op: the last of them; None at the beginning.
        shown: what readers get -> of how many states.
        possible: how many combinations there are; at least so many, where not exhaustive.
        exhaustive: whether all that the model allows were looked at.
    """

    number: int
    op: DiskOp | None
    shown: Mapping[Shown, int]
    possible: int
    exhaustive: bool


@dataclass(frozen=True)
class Example:
    """The shortest way to what a reader gets.

    Attributes:
        shown: what the reader gets.
        number: after how many operations the crash comes.
        ops: those of them that matter, in order.
        left: what is there then, file by file, in words.
    """

    shown: Shown
    number: int
    ops: tuple[DiskOp, ...]
    left: tuple[str, ...]


@dataclass(frozen=True)
class Crashes:
    """Every crash of one save.

    Attributes:
        scene: what was saved.
        model: what survives.
        points: in order.
        examples: for each thing that readers may get, the shortest way there.
        judged: how many different states were loaded.
    """

    scene: Scene
    model: Model
    points: tuple[Point, ...]
    examples: tuple[Example, ...]
    judged: int

    @property
    def exhaustive(self) -> bool:
        """Whether every state that the model allows was looked at."""
        return all(point.exhaustive for point in self.points)

    @property
    def shown(self) -> Counter[Shown]:
        """What readers get -> at how many points they may."""
        return Counter(kind for point in self.points for kind in point.shown)

    def replay_line(self) -> str:
        """A shell line that does it all again."""
        scene = self.scene
        words = ["ckpt-harness", "crash", "--engine", scene.engine, "--ranks", str(scene.ranks), "--model", self.model]
        return shlex.join([*words, *["--overwrite"] * scene.overwrite])

    def known(self, register: Register) -> dict[Shown, str]:
        """What readers may get that is a known finding -> its id."""
        onto = "overwrite" if self.scene.overwrite else "fresh"
        found = ((kind, register.known_crash(name, f"{onto} {self.model} {kind}")) for name in known_as(self.scene.engine) for kind in self.shown)
        return {kind: name for kind, name in found if name is not None}

    def violated(self) -> list[tuple[str, Shown, Capability | None]]:
        """What breaks a claim: (the claim, what a reader may get, the capability that it takes; None where every engine owes it)."""
        found: list[tuple[str, Shown, Capability | None]] = []
        for kind in self.shown:
            if kind in UNSAFE:
                found.append(("no crash leaves what reads as a checkpoint and is none", kind, None))
            elif self.scene.overwrite and kind in ("nothing", "error"):
                found.append(("a crash while a checkpoint is replaced leaves the old one or the new one", kind, Capability.ATOMIC_OVERWRITE))
        last = [kind for kind in self.points[-1].shown if kind != "new" and kind not in UNSAFE]
        return found + [("what was reported as saved survives a crash", kind, Capability.DURABLE_COMMIT) for kind in last]


@dataclass
class _Judge:
    """Loads states, each once.

    Attributes:
        scene: what was saved.
        verdicts: digest of the files -> what a reader gets.
    """

    scene: Scene
    verdicts: dict[str, Shown] = field(default_factory=dict)

    def all(self, states: Mapping[str, Files], jobs: int, progress: Callable[[int], None]) -> None:
        """Judges those that were not judged yet.

        Args:
            states: digest -> files.
            jobs: number of processes.
            progress: told how many were judged by now.
        """
        new = {digest: files for digest, files in states.items() if digest not in self.verdicts}
        chunks = [dict(itertools.islice(new.items(), start, start + _CHUNK)) for start in range(0, len(new), _CHUNK)]
        if jobs == 1 or len(chunks) < 2 * jobs:
            for chunk in chunks:
                self.verdicts |= _judged(self.scene, chunk)
                progress(len(self.verdicts))
            return
        with workers(jobs, preload="ckpt_harness.campaigns.crashes") as pool:
            for found in pool.map(_judged, itertools.repeat(self.scene), chunks):
                self.verdicts |= found
                progress(len(self.verdicts))

    def one(self, files: Files) -> Shown:
        """What a reader gets of some files."""
        digest = digest_of(files)
        self.all({digest: files}, 1, lambda _: None)
        return self.verdicts[digest]


def _judged(scene: Scene, states: Mapping[str, Files]) -> dict[str, Shown]:
    with tempfile.TemporaryDirectory(prefix="ckpt-harness-crash-") as root:
        found: dict[str, Shown] = {}
        for number, (digest, files) in enumerate(states.items()):
            place = Path(root, str(number))
            place.mkdir()
            found[digest] = shown(scene, files, place)
            shutil.rmtree(place)
        return found


def digest_of(files: Files) -> str:
    """What tells files from others."""
    digest = hashlib.sha256()
    for path, data in sorted(files.items()):
        digest.update(f"{path} {len(data)} ".encode())
        digest.update(data)
    return digest.hexdigest()


def crashes(
    scene: Scene,
    model: Model = "posix",
    *,
    limit: int = LIMIT,
    jobs: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Crashes:
    """Judges every crash of a save.

    Args:
        scene: what is saved.
        model: what survives.
        limit: how many combinations are looked at for each point; where the model allows more, a sample is drawn with the scene's seed.
        jobs: number of processes.
        progress: told how many states of how many are judged.

    Raises:
        UsageError: see :func:`record`.
    """
    with silenced():
        return _crashes(scene, model, limit, jobs, progress)


def _crashes(scene: Scene, model: Model, limit: int, jobs: int, progress: Callable[[int, int], None]) -> Crashes:
    with tempfile.TemporaryDirectory(prefix="ckpt-harness-crash-") as root:
        recording = record(scene, Path(root))
    at = [end for end in range(len(recording.ops) + 1) if end == 0 or recording.ops[end - 1].kind not in _STILL]
    if at[-1] != len(recording.ops):
        at.append(len(recording.ops))
    under_way = {end: next((op for op in recording.ops[end:] if op.kind not in _STILL), None) for end in at}
    left = {
        end: states_after(recording.ops[:end], recording.before, model, limit=limit, seed=scene.seed, under_way=under_way[end]) for end in at
    }
    judge = _Judge(scene)
    digests = {end: [digest_of(state.files) for state in states.found] for end, states in left.items()}
    everything = {digest: state.files for end, states in left.items() for digest, state in zip(digests[end], states.found, strict=True)}
    judge.all(everything, jobs, lambda done: progress(done, len(everything)))
    points = [
        Point(
            end,
            recording.ops[end - 1] if end else None,
            Counter(judge.verdicts[digest] for digest in digests[end]),
            states.possible,
            states.exhaustive,
        )
        for end, states in left.items()
    ]
    first: dict[Shown, tuple[int, State]] = {}
    for end, states in left.items():
        for digest, state in zip(digests[end], states.found, strict=True):
            first.setdefault(judge.verdicts[digest], (end, state))
    ways = [_shortest(recording, judge, kind, end, state) for kind, (end, state) in first.items()]
    return Crashes(scene, model, tuple(points), tuple(sorted(ways, key=lambda one: SHOWN.index(one.shown))), len(judge.verdicts))


def _shortest(recording: Recording, judge: _Judge, kind: Shown, end: int, state: State) -> Example:
    """Takes back, file by file, what a reader gets the same without."""
    files, matters = dict(state.files), set(state.files) | set(recording.before)
    for path in sorted(matters):
        changed = dict(files)
        changed.pop(path, None)
        if path in recording.before:
            changed[path] = recording.before[path]
        if changed == files or judge.one(changed) == kind:
            files = changed
            matters.discard(path)
    ops = tuple(op for op in _merged(recording.ops[:end]) if {op.path, op.to} & (matters | _renamed_to(matters, recording.ops[:end])))
    now = files_after(recording.ops[:end], recording.before)
    return Example(kind, end, ops, tuple(_left(path, files, now, recording.before) for path in sorted({*files, *recording.before})))


def _renamed_to(paths: set[str], ops: Sequence[DiskOp]) -> set[str]:
    """The names that files had before they got these."""
    return {op.path for op in ops if op.kind == "rename" and op.to in paths}


def _left(path: str, files: Files, now: Files, before: Mapping[str, bytes]) -> str:
    if path not in files:
        return f"{path}: gone"
    data = files[path]
    age = "as before" if data == before.get(path) else "as written" if data == now.get(path) else f"of {len(now.get(path, b''))} as written"
    return f"{path}: {len(data)} bytes, {age}"


def _merged(ops: Sequence[DiskOp]) -> list[DiskOp]:
    """Operations without those that leave the disk as it is, and writes to one file in a row as one."""
    kept: list[DiskOp] = []
    latest: dict[str, int] = {}
    for op in ops:
        if op.kind in _STILL:
            continue
        last = kept[latest[op.path]] if op.path in latest else None
        if op.kind == "write" and last is not None and last.kind == "write" and last.offset + len(last.data) == op.offset:
            kept[latest[op.path]] = last._replace(data=last.data + op.data)
        else:
            latest[op.path] = len(kept)
            kept.append(op)
    return kept
