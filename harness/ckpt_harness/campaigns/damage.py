"""Damage to what is stored: each file of a checkpoint is altered in turn, and the checkpoint is loaded in fresh ranks.

The save succeeds; how the damage came about is not asked.

Not modelled: damage to several files at once, and to anything that is not a file in the checkpoint's directory.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ckpt_harness.campaigns.damage_kinds import DAMAGE_KINDS, Alteration, DamageKind, alterations
from ckpt_harness.campaigns.readers import shown
from ckpt_harness.campaigns.recording import PLACE, Scene, check_saved
from ckpt_harness.cases import printed
from ckpt_harness.cases.rank_program import ATTEMPT
from ckpt_harness.cases.replay_line import spelled
from ckpt_harness.cases.surroundings import silenced
from ckpt_harness.disk.shown import Shown
from ckpt_harness.engines.base import Call
from ckpt_harness.engines.hooks import watched
from ckpt_harness.engines.names import find_engine
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.workloads.context import context_here
from ckpt_harness.workloads.workload import find_workload
from ckpt_harness.worlds.simulated import SimulatedWorld

_HEADROOM = 1 << 32
"""Bytes of address space that loads may take beyond what the process has: damaged lengths ask for anything up to the whole address space. Each thread that
allocates may reserve 128 MB."""


class Damaged(NamedTuple):
    """What a reader gets of a checkpoint that has one damaged file.

    Attributes:
        kind: the kind of damage.
        what: which file, and how, in words.
        shown: what the reader gets.
        printed: what the engine printed, if a command has caught it.
    """

    kind: DamageKind
    what: str
    shown: Shown
    printed: str = ""

    @property
    def claim(self) -> str:
        """The broken claim, in words; "" if none: damage that all ranks detect is harmless, and so is damage after which all values are right."""
        if self.shown in ("hang", "disagreement"):
            return "a load of a damaged checkpoint ends alike on all ranks"
        if self.shown in ("new", "error", "nothing"):
            return ""
        return "a missing file is noticed" if self.kind == "missing" else "damaged bytes are detected"

    @property
    def needs(self) -> Capability | None:
        """The capability that an engine must claim for the broken claim to count; None where every engine owes it."""
        return Capability.CHECKSUMS if self.claim == "damaged bytes are detected" else None


@dataclass(frozen=True)
class Damages:
    """Every damage to one checkpoint.

    Attributes:
        scene: what was saved.
        found: what a reader gets of each.
    """

    scene: Scene
    found: tuple[Damaged, ...]

    def broken(self) -> list[Damaged]:
        """What breaks a claim: the first example for each kind of damage and thing that a reader gets."""
        first: dict[tuple[DamageKind, Shown], Damaged] = {}
        for damaged in self.found:
            if damaged.claim:
                first.setdefault((damaged.kind, damaged.shown), damaged)
        return list(first.values())

    def replay_line(self) -> str:
        """A shell line that damages the same files again. It tries all kinds of damage."""
        scene, usual = self.scene, Scene(self.scene.engine).settled()
        workload = scene.workload if scene.workload != usual.workload else None
        return spelled("damage", engine=scene.engine, ranks=scene.ranks, workload=workload)


class DamagesInterrupted(KeyboardInterrupt):
    """Ctrl-C while damaged checkpoints were loaded.

    Attributes:
        damages: what was loaded until then.
    """

    def __init__(self, damages: Damages) -> None:
        super().__init__()
        self.damages = damages


def damages(
    scene: Scene, kinds: tuple[DamageKind, ...] = DAMAGE_KINDS, progress: Callable[[int, int], None] = lambda done, total: None
) -> Damages:
    """Saves a checkpoint on simulated ranks, damages each of its files in turn, and loads it.

    Args:
        scene: what is saved.
        kinds: the kinds of damage to try.
        progress: called with the number of damaged checkpoints that are loaded, and the number of all.

    Raises:
        UsageError: see :meth:`ckpt_harness.campaigns.recording.Scene.check`.
        EngineError: the engine cannot save though nothing goes wrong.
        DamagesInterrupted: Ctrl-C while damaged checkpoints were loaded; a KeyboardInterrupt that has what was loaded.
    """
    scene = scene.settled()
    scene.check()
    with silenced(), _bounded_memory(), tempfile.TemporaryDirectory(prefix="ckpt-harness-damage-") as root:
        altered = list(alterations(_saved(scene, Path(root, "whole")), kinds))
        found: list[Damaged] = []
        try:
            for number, alteration in enumerate(altered, 1):
                found.append(_loaded(scene, alteration, Path(root, str(number))))
                progress(number, len(altered))
        except KeyboardInterrupt as error:
            raise DamagesInterrupted(Damages(scene, tuple(found))) from error
        return Damages(scene, tuple(found))


def _loaded(scene: Scene, alteration: Alteration, place: Path) -> Damaged:
    """What a reader gets of one altered checkpoint, which is written to ``place`` and removed again."""
    place.mkdir()
    files = {f"{PLACE}/{name}": data for name, data in alteration.files.items()}
    printed.begin()
    damaged = Damaged(alteration.kind, alteration.what, shown(scene, files, place), printed.so_far())
    shutil.rmtree(place)
    return damaged


@contextlib.contextmanager
def _bounded_memory() -> Iterator[None]:
    """Makes an absurd allocation a ``MemoryError`` at once, before it takes all the machine's memory. Linux only."""
    if not sys.platform.startswith("linux"):
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    used = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    wanted = used + _HEADROOM
    resource.setrlimit(resource.RLIMIT_AS, (wanted if soft == resource.RLIM_INFINITY else min(soft, wanted), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _saved(scene: Scene, root: Path) -> dict[str, bytes]:
    """Saves without faults: path below the checkpoint -> content."""
    engine, workload = watched(find_engine(scene.engine)), find_workload(scene.workload)
    place = engine.place(root, PLACE)

    def body() -> None:
        state = workload.make(context_here(ATTEMPT, scene.ranks))
        engine.save(state, engine.make_writer(place), engine.make_save_planner("default"), place, Call())

    check_saved(scene.engine, SimulatedWorld(scene.ranks).run(body))
    below = Path(place)
    return {path.relative_to(below).as_posix(): path.read_bytes() for path in sorted(below.rglob("*")) if path.is_file()}
