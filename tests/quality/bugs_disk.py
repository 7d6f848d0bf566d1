"""Planted bugs: missing fsyncs, wrong order of file operations, missing checks, errors that are swallowed. Each bug is an edit of ``atomic_storage.py``.

``CRASH_BUGS`` show only after a crash; the search over all crash points finds them. ``BUGS`` show in a sweep; oracles find them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from planting import Bug, Edit

from ckpt_harness.campaigns.recording import Scene
from ckpt_harness.campaigns.sweep import Sweep
from ckpt_harness.cases.case import Case
from ckpt_harness.cases.rig import Rig
from ckpt_harness.disk.durability import Model
from ckpt_harness.faults.plan import FaultPlan

ATOMIC, MODEST = "atomic_storage:ATOMIC", "atomic_storage:MODEST"
WRITER, READER = "atomic_storage:AtomicWriter", "atomic_storage:AtomicReader"

SAFE = "no crash leaves what reads as a checkpoint and is none"
REPLACED = "a crash while a checkpoint is replaced leaves the old one or the new one"
DURABLE = "what was reported as saved survives a crash"


@dataclass(frozen=True)
class CrashBug:
    """A bug that shows after a crash only.

    Attributes:
        name: what the buggy storage does.
        caught_by: the claims that the bug breaks.
        edits: changes of the storage's source.
        overwrite: whether the save replaces an existing checkpoint.
        model: the durability model that shows the bug.
    """

    name: str
    caught_by: frozenset[str]
    edits: tuple[Edit, ...]
    overwrite: bool = False
    model: Model = "posix"

    @property
    def scene(self) -> Scene:
        return Scene(engine=ATOMIC, overwrite=self.overwrite)


_SYNCED = "stream.flush()\nos.fsync(stream.fileno())"
_CHECKED = "if hashlib.sha256(data).digest() != digest:"
_RENAMED = 'self.fs.rename(temporary, self.path / ".metadata")'
_PREPARED = f"{WRITER}.prepare_global_plan"
_STORED = "self.store(file, content)"
_COMMITTED = f"{_RENAMED}\nself.sync_directory(self.path)"
_OPENED = 'with self.fs.create_stream(path, "xb") as stream:'

IN_PLACE = (
    Edit(_PREPARED, 'while self.fs.exists(self.path / f"save-{number}"):\n    number += 1', "pass"),
    Edit(f"{WRITER}.store", '"xb"', '"wb"'),
)
"""A save overwrites the files of the previous save."""
UNCHECKED = Edit(f"{READER}.check", _CHECKED, "if False:")

CRASH_BUGS = (
    CrashBug(
        "the coordinator writes its data after the commit",
        frozenset({REPLACED}),
        (
            Edit(
                f"{WRITER}.write_data",
                _STORED,
                "if plan.storage_data.endswith('/__0_0.distcp'):\n    self.later = file, content\nelse:\n    self.store(file, content)",
            ),
            Edit(f"{WRITER}.finish", _COMMITTED, f"{_COMMITTED}\nself.store(*self.later)\nself.sync_directory(self.later[0].parent)"),
        ),
        overwrite=True,
        model="kill",
    ),
    CrashBug("files are never made durable", frozenset({DURABLE}), (Edit(f"{WRITER}.store", _SYNCED, "stream.flush()"),)),
    CrashBug(
        "the metadata is made durable, the data is not",
        frozenset({DURABLE}),
        (Edit(f"{WRITER}.store", "os.fsync(stream.fileno())", 'if path.suffix == ".metadata":\n    os.fsync(stream.fileno())'),),
        model="ordered",
    ),
    CrashBug(
        "files are made durable while the process still buffers them",
        frozenset({DURABLE, REPLACED}),
        (Edit(f"{WRITER}.store", _SYNCED, "os.fsync(stream.fileno())\nstream.flush()"),),
        overwrite=True,
    ),
    CrashBug(
        "the metadata is renamed before it is durable",
        frozenset({REPLACED}),
        (
            Edit(f"{WRITER}.store", "os.fsync(stream.fileno())", 'if path.suffix != ".metadata":\n    os.fsync(stream.fileno())'),
            Edit(
                f"{WRITER}.finish",
                _RENAMED,
                f'{_RENAMED}\nwith self.fs.create_stream(self.path / ".metadata", "ab") as stream:\n    os.fsync(stream.fileno())',
            ),
        ),
        overwrite=True,
    ),
    CrashBug(
        "no directory is ever made durable",
        frozenset({DURABLE}),
        (Edit(f"{WRITER}.sync_directory", "os.fsync(descriptor)", "pass"),),
    ),
    CrashBug(
        "the directory that holds a new checkpoint is not made durable",
        frozenset({DURABLE}),
        (Edit(_PREPARED, "self.sync_directory(self.path.parent)", "pass"),),
    ),
    CrashBug(
        "the names of the data files are not made durable",
        frozenset({DURABLE, REPLACED}),
        (Edit(f"{WRITER}.write_data", "self.sync_directory(file.parent)", "pass"),),
        overwrite=True,
    ),
    CrashBug(
        "the rename that commits is not made durable",
        frozenset({DURABLE}),
        (Edit(f"{WRITER}.finish", _COMMITTED, _RENAMED),),
        overwrite=True,
    ),
    CrashBug(
        "the metadata is written under its own name",
        frozenset({REPLACED}),
        (
            Edit(f"{WRITER}.finish", 'temporary = self.path / f"{self.save_name}.metadata"', 'temporary = self.path / ".metadata"'),
            Edit(f"{WRITER}.finish", _RENAMED, "pass"),
            Edit(f"{WRITER}.store", '"xb"', '"wb"'),
        ),
        overwrite=True,
        model="kill",
    ),
    CrashBug(
        "a temporary file is taken for a commit marker",
        frozenset({REPLACED}),
        (
            Edit(
                f"{READER}.read_metadata",
                'self.path / ".metadata"',
                '([*sorted(self.path.glob("save-*.metadata")), self.path / ".metadata"])[0]',
            ),
        ),
        overwrite=True,
        model="kill",
    ),
    CrashBug("files are overwritten in place", frozenset({REPLACED}), IN_PLACE, overwrite=True, model="kill"),
    CrashBug(
        "files are overwritten in place, and no checksum is compared",
        frozenset({SAFE, REPLACED}),
        (*IN_PLACE, UNCHECKED),
        overwrite=True,
        model="kill",
    ),
    CrashBug(
        "the old files are removed before the new files are committed",
        frozenset({REPLACED}),
        (
            Edit(
                f"{WRITER}.finish",
                _RENAMED,
                'for file in self.path.glob("save-*/*"):\n    if file.parent.name != self.save_name:\n        self.fs.rm_file(file)\n'
                + _RENAMED,
            ),
        ),
        overwrite=True,
        model="kill",
    ),
    CrashBug(
        "the old commit marker is removed before the new one exists",
        frozenset({REPLACED}),
        (
            Edit(
                f"{WRITER}.finish",
                _RENAMED,
                f'if self.fs.exists(self.path / ".metadata"):\n    self.fs.rm_file(self.path / ".metadata")\n{_RENAMED}',
            ),
        ),
        overwrite=True,
        model="kill",
    ),
)


class FlippedBits(Sweep):
    """Loads with one flipped bit in a data file, at every 64th byte."""

    def grounds(self) -> Iterator[Case]:
        yield Case(operation="load", engine=ATOMIC)

    def cases(self, rig: Rig, ground: Case) -> Iterator[Case]:
        for byte in range(0, 2048, 64):
            yield replace(ground, plan=FaultPlan.parse(f"fs.create_stream(*.distcp)@1=bitflip({byte})"))


def _saves(**more: object) -> Sweep:
    return Sweep(("save",), (2,), engine=ATOMIC, disk=True, **more)  # type: ignore[arg-type]  # fields of Sweep


_LOOP = """while left:
    written = stream.write(left)
    if not written:
        raise OSError(f"{path.name} takes no more bytes")
    left = left[written:]"""

BUGS = (
    Bug("a short write is taken for a complete write", ("commitment",), (Edit(f"{WRITER}.store", _LOOP, "stream.write(left)"),), _saves()),
    Bug(
        "a short write of the commit file is taken for a complete write",
        ("commitment",),
        (
            Edit(
                f"{WRITER}.finish",
                "self.store(temporary, content + hashlib.sha256(content).digest())",
                'with self.fs.create_stream(temporary, "xb") as stream:\n    stream.write(content + hashlib.sha256(content).digest())\n'
                "    stream.flush()\n    os.fsync(stream.fileno())",
            ),
        ),
        _saves(),
    ),
    Bug(
        "a StopIteration of the planner ends the loop over the items",
        ("attribution", "commitment"),
        (
            Edit(
                f"{WRITER}.write_data",
                "for item in plan.items:\n    data = serialized(item, planner.resolve_data(item))",
                "for item, found in zip(plan.items, map(planner.resolve_data, plan.items)):\n    data = serialized(item, found)",
            ),
        ),
        Sweep(("save",), (2,), engine=ATOMIC),
    ),
    Bug(
        "the tail of a file is never written",
        ("commitment",),
        (Edit(f"{WRITER}.store", "memoryview(content)", "memoryview(content)[: len(content) // 16 * 16]"),),
        _saves(),
    ),
    Bug(
        "an error of a full disk is swallowed",
        ("commitment",),
        (Edit(f"{WRITER}.write_data", _STORED, "try:\n    self.store(file, content)\nexcept OSError:\n    pass"),),
        _saves(),
    ),
    Bug(
        "an fsync error is swallowed",
        ("attribution", "course"),
        (Edit(f"{WRITER}.store", "os.fsync(stream.fileno())", "try:\n    os.fsync(stream.fileno())\nexcept OSError:\n    pass"),),
        _saves(),
    ),
    Bug(
        "an error of the disk loses its type and errno",
        ("attribution",),
        (
            Edit(
                f"{WRITER}.write_data",
                _STORED,
                "try:\n    self.store(file, content)\nexcept OSError as error:\n    raise RuntimeError(str(error)) from error",
            ),
        ),
        _saves(),
    ),
    Bug(
        "the metadata holds the offsets of the previous items",
        ("commitment",),
        (Edit(f"{WRITER}.write_data", "len(content), len(data), hash", "max(0, len(content) - len(data)), len(data), hash"),),
        _saves(),
    ),
    Bug(
        "two ranks use one file name",
        ("commitment",),
        (Edit(_PREPARED, "/__{rank}_0.distcp", "/__0_0.distcp"), Edit(f"{WRITER}.store", '"xb"', '"wb"')),
        _saves(),
    ),
    Bug(
        "an existing shard is not overwritten",
        ("commitment",),
        (*IN_PLACE, Edit(f"{WRITER}.write_data", _STORED, "if not self.fs.exists(file):\n    self.store(file, content)")),
        _saves(onto="checkpoint"),
    ),
    Bug(
        "the old commit marker is removed when the disk is full",
        ("commitment",),
        (
            Edit(
                f"{WRITER}.write_data",
                _STORED,
                "try:\n    self.store(file, content)\nexcept OSError as error:\n    if error.errno == 28:  # ENOSPC\n"
                '        self.fs.rm_file(self.path / ".metadata")\n    raise',
            ),
        ),
        _saves(onto="checkpoint"),
    ),
    Bug(
        "the temporary file of the metadata is left",
        ("hygiene",),
        (
            Edit(f"{WRITER}.finish", '.metadata"\nself.store', '.metadata.tmp"\nself.store'),
            Edit(f"{WRITER}.finish", _RENAMED, 'self.store(self.path / ".metadata", content + hashlib.sha256(content).digest())'),
        ),
        _saves(),
    ),
    Bug("checksums are stored and never compared", ("integrity",), (UNCHECKED,), FlippedBits()),
    Bug(
        "a failed save has overwritten files in place, and no checksum is compared",
        ("purity",),
        (*IN_PLACE, UNCHECKED),
        Sweep(("save",), (2,), engine=MODEST, disk=True, onto="checkpoint"),
    ),
)
