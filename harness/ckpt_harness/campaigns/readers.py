"""What readers get: states of the files of a checkpoint are put on disk and loaded in fresh ranks, each different state once."""

from __future__ import annotations

import hashlib
import itertools
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from ckpt_harness.campaigns.recording import PLACE, Scene
from ckpt_harness.campaigns.workers import workers
from ckpt_harness.cases import printed
from ckpt_harness.cases.rank_program import ATTEMPT, PREVIOUS
from ckpt_harness.cases.read_back import read
from ckpt_harness.disk.journal import Files
from ckpt_harness.disk.shown import Shown
from ckpt_harness.engines.hooks import watched
from ckpt_harness.engines.names import find_engine
from ckpt_harness.workloads.workload import find_workload

_CHUNK = 40
"""States that a process loads at a time."""


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

    def load_all(self, states: Mapping[str, Files], jobs: int, progress: Callable[[int], None]) -> None:
        """Loads the states that were not loaded yet.

        Args:
            states: digest -> files.
            jobs: number of processes.
            progress: called with the number of states that are loaded by now.
        """
        new = {digest: files for digest, files in states.items() if digest not in self.results}
        chunks = list(_chunks(new))
        if jobs == 1 or len(chunks) < 2 * jobs:
            self._take(map(_load, itertools.repeat(self._scene), chunks), progress)
            return
        with workers(jobs, preload="ckpt_harness.campaigns.crashes") as pool:
            self._take(pool.map(_load, itertools.repeat(self._scene), chunks), progress)

    def _take(self, results: Iterator[dict[str, Shown]], progress: Callable[[int], None]) -> None:
        for of_chunk in results:
            self.results |= of_chunk
            progress(len(self.results))

    def load(self, files: Files) -> Shown:
        """What a reader gets of some files."""
        digest = digest_of(files)
        self.load_all({digest: files}, 1, lambda _: None)
        return self.results[digest]

    def printed(self, files: Files) -> str:
        """What the engine prints while it loads some files; "" if no command catches it."""
        printed.begin()
        _load(self._scene, {"": files})
        return printed.so_far()


def _chunks(states: Mapping[str, Files]) -> Iterator[dict[str, Files]]:
    items = iter(states.items())
    while chunk := dict(itertools.islice(items, _CHUNK)):
        yield chunk


def _load(scene: Scene, states: Mapping[str, Files]) -> dict[str, Shown]:
    with tempfile.TemporaryDirectory(prefix="ckpt-harness-crash-") as root:
        results: dict[str, Shown] = {}
        for number, (digest, files) in enumerate(states.items()):
            place = Path(root, str(number))
            place.mkdir()
            results[digest] = shown(scene, files, place)
            shutil.rmtree(place)
        return results
