"""Damage to what is stored: each file of a checkpoint is altered in turn, and loaded in fresh ranks.

A save that succeeded is taken, so nothing here asks how the damage came about.

Not modelled: damage to several files at once, and to anything that is not a file in the checkpoint's directory.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
import struct
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

from ckpt_harness.campaigns.crashes import Scene, shown
from ckpt_harness.cases.rank_program import ATTEMPT, silenced
from ckpt_harness.disk.shown import Shown
from ckpt_harness.engines.base import Call
from ckpt_harness.engines.names import find_engine
from ckpt_harness.errors import UsageError
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.workloads.context import context_here
from ckpt_harness.workloads.tags import Tag
from ckpt_harness.workloads.workload import find_workload
from ckpt_harness.worlds.simulated import SimulatedWorld

DamageKind = Literal["missing", "truncated", "zeroed", "flipped", "swapped"]
DAMAGE_KINDS: tuple[DamageKind, ...] = ("missing", "truncated", "zeroed", "flipped", "swapped")
"""Gone; cut in the middle, and to nothing; all zeros, and zeros from the middle on; one bit flipped; two files in each other's place."""

_FLIPS, _FEWEST, _VALUES = 100, 3, 3
"""Bits to flip, one at a time: in all files together, spread evenly; in each at least; and within values that were saved, in each at most."""
_HEADROOM = 1 << 30
"""Bytes that a load may allocate beyond what the process has: damaged lengths ask for anything up to the whole address space."""
_PLACE = "checkpoint"


class Damaged(NamedTuple):
    """What a reader gets of a checkpoint of which a file is damaged.

    Attributes:
        kind: the kind of damage.
        what: which file, and how, in words.
        shown: what the reader gets.
    """

    kind: DamageKind
    what: str
    shown: Shown

    @property
    def claim(self) -> str:
        """What it breaks, in words; "" if nothing: what is detected by all ranks alike is harmless, and so is what loads bit-equal."""
        if self.shown in ("hang", "disagreement"):
            return "a load of a damaged checkpoint ends alike on all ranks"
        if self.shown in ("new", "error", "nothing"):
            return ""
        return "a missing file is noticed" if self.kind == "missing" else "damaged bytes are detected"

    @property
    def needs(self) -> Capability | None:
        """The capability that an engine must claim for it to count; None where every engine owes it."""
        return Capability.CHECKSUMS if self.claim == "damaged bytes are detected" else None


@dataclass(frozen=True)
class Damages:
    """Every damage to one checkpoint.

    Attributes:
        engine: name of the engine that saved it.
        ranks: how many ranks saved and loaded it.
        found: what a reader gets of each.
    """

    engine: str
    ranks: int
    found: tuple[Damaged, ...]

    def broken(self) -> list[Damaged]:
        """What breaks a claim, the first for each kind of damage and thing that a reader gets."""
        first: dict[tuple[DamageKind, Shown], Damaged] = {}
        for one in self.found:
            if one.claim:
                first.setdefault((one.kind, one.shown), one)
        return list(first.values())

    def replay_line(self) -> str:
        """A shell line that does it all again."""
        return f"ckpt-harness damage --engine {self.engine} --ranks {self.ranks}"


def damages(engine: str, ranks: int = 2, kinds: tuple[DamageKind, ...] = DAMAGE_KINDS) -> Damages:
    """Saves a checkpoint on simulated ranks, damages each of its files in turn, and loads it.

    Args:
        engine: name of the engine.
        ranks: how many ranks save, and load.
        kinds: the kinds of damage to try.

    Raises:
        UsageError: no such engine, or one that stores elsewhere than in a directory, or that cannot even save when nothing goes wrong.
    """
    scene = Scene(engine, ranks=ranks)
    with silenced(), _bounded_memory(), tempfile.TemporaryDirectory(prefix="ckpt-harness-damage-") as root:
        files = _saved(scene, Path(root, "whole"))
        found = []
        for number, (kind, what, left) in enumerate(_alterations(files, kinds)):
            place = Path(root, str(number))
            place.mkdir()
            found.append(Damaged(kind, what, shown(scene, {f"{_PLACE}/{name}": data for name, data in left.items()}, place)))
            shutil.rmtree(place)
        return Damages(engine, ranks, tuple(found))


@contextlib.contextmanager
def _bounded_memory() -> Iterator[None]:
    """Has the process get a ``MemoryError`` soon, instead of all the machine's memory. Linux only."""
    if not sys.platform.startswith("linux"):
        yield
        return
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    now = int(Path("/proc/self/statm").read_text("ascii").split()[0]) * resource.getpagesize()
    wanted = now + _HEADROOM
    resource.setrlimit(resource.RLIMIT_AS, (wanted if soft == resource.RLIM_INFINITY else min(soft, wanted), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def _saved(scene: Scene, root: Path) -> dict[str, bytes]:
    engine, workload = find_engine(scene.engine), find_workload(scene.workload)
    place = engine.place(root, _PLACE)
    if "://" in place:
        raise UsageError(f"engine {scene.engine!r} stores at {place!r}, and files are damaged in directories; valid: engines on a file system")

    def body() -> None:
        engine.save(workload.make(context_here(ATTEMPT, scene.ranks)), engine.make_writer(place), engine.make_save_planner("default"), place, Call())

    failed = [f"rank {one.rank}: {one.record or one.outcome}" for one in SimulatedWorld(scene.ranks).run(body) if one.outcome != "returned"]
    if failed:
        raise UsageError(f"engine {scene.engine!r} cannot save when nothing goes wrong: {'; '.join(failed)}")
    below = Path(place)
    return {path.relative_to(below).as_posix(): path.read_bytes() for path in sorted(below.rglob("*")) if path.is_file()}


def _alterations(files: Mapping[str, bytes], kinds: tuple[DamageKind, ...]) -> Iterator[tuple[DamageKind, str, dict[str, bytes]]]:
    for kind in kinds:
        for name, data in files.items():
            for what, left in _altered(kind, name, data, files):
                if left != files:
                    yield kind, f"{name}: {what}", left


def _altered(kind: DamageKind, name: str, data: bytes, files: Mapping[str, bytes]) -> Iterator[tuple[str, dict[str, bytes]]]:
    middle = len(data) // 2
    if kind == "missing":
        yield "missing", {other: content for other, content in files.items() if other != name}
    elif kind == "truncated":
        for length in (middle, 0):
            yield f"{length} of {len(data)} bytes left", {**files, name: data[:length]}
    elif kind == "zeroed":
        for start in (middle, 0):
            yield f"zeros from byte {start} on", {**files, name: data[:start] + bytes(len(data) - start)}
    elif kind == "flipped":
        count = min(len(data), max(_FEWEST, _FLIPS * len(data) // sum(map(len, files.values()))) if data else 0)
        for at in sorted({*(index * len(data) // count for index in range(count)), *itertools.islice(_values(data), _VALUES)}):
            bit = at % 8
            yield f"bit {bit} of byte {at} flipped", {**files, name: data[:at] + bytes([data[at] ^ 1 << bit]) + data[at + 1 :]}
    else:
        for other in files:
            if other > name:
                yield f"in the place of {other}, and the other way round", {**files, name: files[other], other: data}


def _values(data: bytes) -> Iterator[int]:
    """Where a file holds values that were saved, if it does so as they are: most bytes are padding, so that flips spread evenly may miss them all."""
    for at in range(len(data) - 7):
        tag = Tag.decode(struct.unpack_from("<d", data, at)[0])
        if tag is not None and tag.save == ATTEMPT:
            yield at
