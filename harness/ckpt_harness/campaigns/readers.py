"""What readers get: states of the files of a checkpoint are put on disk and loaded in fresh ranks, each different state once."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, NamedTuple

from ckpt_harness.campaigns.pools.base import HERE, Pool
from ckpt_harness.campaigns.recording import PLACE, Scene
from ckpt_harness.cases import printed
from ckpt_harness.cases.rank_program import ATTEMPT, PREVIOUS
from ckpt_harness.cases.read_back import read
from ckpt_harness.disk.journal import Files
from ckpt_harness.disk.shown import Shown
from ckpt_harness.engines.hooks import watched
from ckpt_harness.engines.names import find_engine
from ckpt_harness.workloads.workload import find_workload


def shown(scene: Scene, files: Files, root: Path) -> Shown:
    """What fresh ranks get of some files.

    Args:
        scene: what was saved.
        files: what is stored: path -> content.
        root: an empty directory, which the files are written to.
    """
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return shown_at(scene, root)


def shown_at(scene: Scene, root: Path) -> Shown:
    """What fresh ranks get of the files that are on the disk.

    Args:
        scene: what was saved.
        root: the directory that the checkpoint is below; see :func:`ckpt_harness.campaigns.recording.save`.
    """
    engine = watched(find_engine(scene.engine))
    place = engine.place(root, PLACE)
    reading = read(engine, find_workload(scene.workload), place, saves=(PREVIOUS, ATTEMPT), ranks=scene.ranks, shards=scene.ranks)
    result = reading.shows(PREVIOUS, ATTEMPT)
    return "nothing" if result == "error" and not engine.committed(place) else result


def digest_of(files: Files) -> str:
    """A digest of files: equal for equal files, and different for others."""
    digest = hashlib.sha256()
    for path, data in sorted(files.items()):
        digest.update(f"{path} {len(data)} ".encode())
        digest.update(data)
    return digest.hexdigest()


class Stored(NamedTuple):
    """Files that a crash may leave.

    Attributes:
        digest: of the files.
        files: path -> content.
    """

    digest: str
    files: Files


@dataclass(frozen=True)
class LoadStates:
    """Loads states; a :class:`ckpt_harness.campaigns.pools.base.Work` whose results are pairs of a digest and what a reader gets.

    Attributes:
        scene: what was saved.
    """

    scene: Scene
    few: ClassVar[int] = 160

    @contextlib.contextmanager
    def begun(self) -> Iterator[Callable[[Stored], tuple[str, Shown]]]:
        """Puts each state into a directory of its own, and removes the directory once the state is loaded."""
        with tempfile.TemporaryDirectory(prefix="ckpt-harness-crash-") as root:

            def load(state: Stored) -> tuple[str, Shown]:
                place = Path(root, state.digest)
                place.mkdir()
                result = shown(self.scene, state.files, place)
                shutil.rmtree(place)
                return state.digest, result

            yield load

    def lost(self, state: Stored, how: str) -> tuple[str, Shown]:
        """A load that ends its process."""
        return state.digest, "death"


class Readers:
    """Loads states, each different state once.

    Args:
        scene: what was saved.

    Attributes:
        results: digest of the files -> what a reader gets.
    """

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.results: dict[str, Shown] = {}

    def load_all(self, states: Mapping[str, Files], pool: Pool, progress: Callable[[int], None]) -> None:
        """Loads the states that were not loaded yet.

        Args:
            states: digest -> files.
            pool: where they are loaded.
            progress: called with the number of states that are loaded by now.
        """
        new = (Stored(digest, files) for digest, files in states.items() if digest not in self.results)
        with contextlib.closing(pool.run(LoadStates(self._scene), new)) as results:
            self._take(results, progress)

    def _take(self, results: Iterator[tuple[str, Shown]], progress: Callable[[int], None]) -> None:
        for digest, result in results:
            self.results[digest] = result
            progress(len(self.results))

    def load(self, files: Files) -> Shown:
        """What a reader gets of some files."""
        digest = digest_of(files)
        self.load_all({digest: files}, HERE, lambda _: None)
        return self.results[digest]

    def printed(self, files: Files) -> str:
        """What the engine prints while it loads some files; "" if no command catches it."""
        printed.begin()
        with LoadStates(self._scene).begun() as load:
            load(Stored("state", files))
        return printed.so_far()
