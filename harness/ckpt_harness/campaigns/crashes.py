"""Crashes: a save is recorded once; then every state of the files that a crash may leave, at every point, is loaded in fresh ranks and judged.

A model of :mod:`ckpt_harness.disk.durability` says what survives. Equal states are judged once, at whatever points they are possible.

Not modelled: a crash of one rank while the others go on (a fault plan with ``kill`` does that).
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ckpt_harness.campaigns.pools.base import HERE, Pool
from ckpt_harness.campaigns.readers import Readers, digest_of
from ckpt_harness.campaigns.recording import Recording, Scene, record
from ckpt_harness.campaigns.shortest import STILL, Example, shortest
from ckpt_harness.cases.replay_line import spelled
from ckpt_harness.cases.surroundings import silenced
from ckpt_harness.disk.durability import LIMIT, Model, States, states_after
from ckpt_harness.disk.entries import State
from ckpt_harness.disk.journal import DiskOp
from ckpt_harness.disk.shown import SHOWN, Shown
from ckpt_harness.engines.kin import known_as
from ckpt_harness.engines.names import find_engine
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.findings.entry import Moment
from ckpt_harness.findings.register import Register

UNSAFE: tuple[Shown, ...] = ("mixture", "wrong", "disagreement", "hang", "death")
"""What no crash may leave: something that reads as a checkpoint and is none, or that ranks do not agree on."""


@dataclass(frozen=True)
class Point:
    """A moment at which a crash may come.

    Attributes:
        number: how many operations had acted.
        op: the last operation that had acted; None at the beginning.
        shown: what readers get -> of how many states.
        possible: how many combinations the model allows; at least so many, where not exhaustive.
        exhaustive: whether all of them were loaded.
        moment: when the point comes, as the findings register calls it.
    """

    number: int
    op: DiskOp | None
    shown: Mapping[Shown, int]
    possible: int
    exhaustive: bool
    moment: Moment = "in plan"


@dataclass(frozen=True)
class Crashes:
    """Every crash of one save.

    Attributes:
        scene: what was saved.
        model: what survives.
        points: in order.
        examples: for each thing that readers may get, the shortest way there.
        judged: how many different states were loaded.
        limit: how many combinations were looked at for each point.
        interrupted: whether Ctrl-C ended the search early. Then ``points`` has only those whose states were all loaded, and ``examples`` is empty.
    """

    scene: Scene
    model: Model
    points: tuple[Point, ...]
    examples: tuple[Example, ...]
    judged: int
    limit: int = LIMIT
    interrupted: bool = False

    @property
    def exhaustive(self) -> bool:
        """Whether every state that the model allows was loaded."""
        return all(point.exhaustive for point in self.points)

    @property
    def shown(self) -> Counter[Shown]:
        """What readers may get -> at how many points."""
        return Counter(kind for point in self.points for kind in point.shown)

    def replay_line(self, registers: Sequence[str] = ()) -> str:
        """A shell line that finds the same again, with the same exit status.

        Args:
            registers: register files, beside the findings that ship with the harness.
        """
        scene, usual = self.scene, Scene(self.scene.engine).settled()
        return spelled(
            "crash",
            engine=scene.engine,
            ranks=scene.ranks,
            model=self.model,
            overwrite=scene.overwrite,
            workload=scene.workload if scene.workload != usual.workload else None,
            seed=scene.seed if scene.seed != usual.seed else None,
            limit=self.limit if self.limit != LIMIT else None,
            register=tuple(registers),
        )

    def known(self, register: Register) -> dict[Shown, str]:
        """What readers may get -> id of the known finding about it. Only what findings describe at every point where it breaks a claim.

        Args:
            register: the known findings.
        """
        known: dict[Shown, str] = {}
        for kind in self.shown:
            findings = [self._finding(register, kind, point) for point in self.points if kind in point.shown and self._matters(kind, point)]
            if findings and all(findings):
                known[kind] = str(findings[0])
        return known

    def _finding(self, register: Register, kind: Shown, point: Point) -> str | None:
        """Id of the finding that describes what readers may get after a crash at a point, if there is one."""
        onto = "overwrite" if self.scene.overwrite else "fresh"
        what = f"{onto} {self.model} {kind} {'after success' if self._ends_the_save(point) else point.moment}"
        capabilities = [capability.value for capability in find_engine(self.scene.engine).capabilities]
        findings = (register.known_crash(name, what, replaced, capabilities) for name, replaced in known_as(self.scene.engine))
        return next((finding for finding in findings if finding is not None), None)

    def _matters(self, kind: Shown, point: Point) -> bool:
        """Whether readers who get this after a crash at a point show a broken claim."""
        if kind in UNSAFE or self._ends_the_save(point):
            return True
        return self.scene.overwrite and kind in ("nothing", "error")

    def _ends_the_save(self, point: Point) -> bool:
        """Whether a point comes after the whole save. Where the search was interrupted, that point may be missing, and no point counts as such."""
        return not self.interrupted and point is self.points[-1]

    def violated(self) -> list[tuple[str, Shown, Capability | None]]:
        """The broken claims: (the claim, what a reader may get, the capability that it takes; None where every engine owes it)."""
        broken: list[tuple[str, Shown, Capability | None]] = []
        for kind in self.shown:
            if kind in UNSAFE:
                broken.append(("no crash leaves what reads as a checkpoint and is none", kind, None))
            elif self.scene.overwrite and kind in ("nothing", "error"):
                broken.append(("a crash while a checkpoint is replaced leaves the old one or the new one", kind, Capability.ATOMIC_OVERWRITE))
        if self.interrupted:
            return broken  # the point after the whole save may be missing
        lost = [kind for kind in self.points[-1].shown if kind != "new" and kind not in UNSAFE]
        return broken + [("what was reported as saved survives a crash", kind, Capability.DURABLE_COMMIT) for kind in lost]


class CrashesInterrupted(KeyboardInterrupt):
    """Ctrl-C while crashes were judged.

    Attributes:
        crashes: what was judged until then.
    """

    def __init__(self, crashes: Crashes) -> None:
        super().__init__()
        self.crashes = crashes


class _Left(NamedTuple):
    """What a crash at a point may leave.

    Attributes:
        end: how many operations had acted.
        op: the last of them; None at the beginning.
        states: the states, as far as they are looked at.
        digests: of each state.
        moment: when the point comes.
    """

    end: int
    op: DiskOp | None
    states: States
    digests: tuple[str, ...]
    moment: Moment


def crashes(
    scene: Scene,
    model: Model = "posix",
    *,
    limit: int = LIMIT,
    pool: Pool = HERE,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Crashes:
    """Judges every crash of a save.

    Args:
        scene: what is saved.
        model: what survives.
        limit: how many combinations are looked at for each point. Where the model allows more, a sample is drawn with the scene's seed.
        pool: where the states are loaded.
        progress: called with the number of states that are judged, and the number of all states.

    Raises:
        UsageError: see :func:`ckpt_harness.campaigns.recording.record`.
        CrashesInterrupted: Ctrl-C while states were loaded; a KeyboardInterrupt that has what was judged.
    """
    scene = scene.settled()
    with silenced():
        with tempfile.TemporaryDirectory(prefix="ckpt-harness-crash-") as root:
            recording = record(scene, Path(root))
        points = [_left_at(end, recording, model, limit, scene.seed) for end in _ends(recording.ops)]
        readers = Readers(scene)
        states = {digest: state.files for point in points for digest, state in _with_digests(point)}
        try:
            readers.load_all(states, pool, lambda done: progress(done, len(states)))
        except KeyboardInterrupt as error:
            whole = tuple(_judged(point, readers) for point in points if readers.results.keys() >= set(point.digests))
            raise CrashesInterrupted(Crashes(scene, model, whole, (), len(readers.results), limit, interrupted=True)) from error
        examples = _examples(points, recording, readers)
        judged = tuple(_judged(point, readers) for point in points)
        return Crashes(scene, model, judged, examples, len(readers.results), limit)


def _ends(ops: Sequence[DiskOp]) -> list[int]:
    """The points of a save: at the beginning, after each operation that changes the disk, and after the last operation."""
    ends = [0]
    ends += [number for number, op in enumerate(ops, 1) if op.kind not in STILL]
    if ends[-1] != len(ops):
        ends.append(len(ops))
    return ends


def _left_at(end: int, recording: Recording, model: Model, limit: int, seed: int) -> _Left:
    under_way = next((op for op in recording.ops[end:] if op.kind not in STILL), None)
    states = states_after(recording.ops[:end], recording.before, model, limit=limit, seed=seed, under_way=under_way)
    last = recording.ops[end - 1] if end else None
    return _Left(end, last, states, tuple(digest_of(state.files) for state in states.found), _moment(end, recording))


def _moment(end: int, recording: Recording) -> Moment:
    """When a crash comes that leaves the first ``end`` operations of a save, and perhaps a part of the next."""
    if end >= recording.begun.get("writer.finish", len(recording.ops) + 1):
        return "in finish"
    return "in write" if end >= recording.begun.get("writer.write_data", len(recording.ops) + 1) else "in plan"


def _with_digests(left: _Left) -> Iterable[tuple[str, State]]:
    return zip(left.digests, left.states.found, strict=True)


def _judged(left: _Left, readers: Readers) -> Point:
    shown = Counter(readers.results[digest] for digest in left.digests)
    return Point(left.end, left.op, shown, left.states.possible, left.states.exhaustive, left.moment)


def _examples(points: Sequence[_Left], recording: Recording, readers: Readers) -> tuple[Example, ...]:
    """The shortest way to each thing that readers may get, from the first point and state that lead there."""
    first: dict[Shown, tuple[int, State]] = {}
    for point in points:
        for digest, state in _with_digests(point):
            first.setdefault(readers.results[digest], (point.end, state))
    examples = [shortest(recording, readers, shown, end, state) for shown, (end, state) in first.items()]
    return tuple(sorted(examples, key=lambda example: SHOWN.index(example.shown)))
