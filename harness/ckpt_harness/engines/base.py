"""What the harness must know of a checkpoint engine, and where engines are found by name."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import operator
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, cast

from ckpt_harness.errors import UsageError
from ckpt_harness.faults.calling import Executor
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.faults.protocol import Protocol as EngineProtocol

if TYPE_CHECKING:
    from ckpt_harness.workloads.workload import Holding


@dataclass(frozen=True)
class Call:
    """How a rank calls an operation, beside what it saves or loads and where.

    Attributes:
        coordinator: the rank, within the group, that coordinates.
        group: the process group to pass; None for the default one.
        no_dist: whether the rank says that it is alone.
        use_collectives: whether a save joins the ranks by collectives.
        executor: what an async save is done by.
        stager: what copies the state of an async save; None for what the engine chooses.
    """

    coordinator: int = 0
    group: Any = None
    no_dist: bool = False
    use_collectives: bool = True
    executor: Executor = "thread"
    stager: Any = None


@dataclass(frozen=True)
class Saving:
    """An async save that has begun.

    Attributes:
        upload: completes when the checkpoint is saved, or was not.
        staging: completes when the state was copied; None where it was before the save began.
    """

    upload: Future[Any]
    staging: Future[Any] | None = None


class Engine(Protocol):
    """A checkpointing system: how to make its storage objects, how to call it, and how to look at what it left.

    Attributes:
        name: for the command line.
        about: one line.
        protocol: which sites it calls, in which protocol steps.
        capabilities: what it claims.
        planners: names of the kinds of planner that it can be called with, with one line on each; ``default`` among them.
        one_process: whether what it stores lives in the process that stored it, so that only ranks of one process can share it.
        usual: field of a case -> what it is with this engine where the case leaves it at its default; see :meth:`ckpt_harness.cases.case.Case.settled`.
            An ``operation`` is that of saves.
        cannot_hold: the parts of a workload that it cannot store; see :class:`ckpt_harness.workloads.workload.Workload`.
    """

    name: str
    about: str
    protocol: EngineProtocol
    capabilities: frozenset[Capability]
    planners: Mapping[str, str]
    one_process: bool
    usual: Mapping[str, str]
    cannot_hold: frozenset[Holding]

    def place(self, root: Path, name: str) -> str:
        """Where the checkpoint ``name`` lives, for a case that has the directory ``root`` to itself."""

    def make_writer(self, place: str) -> Any:
        """A ``StorageWriter`` for the place."""

    def make_reader(self, place: str) -> Any:
        """A ``StorageReader`` for the place."""

    def make_stager(self, staging: str) -> Any:
        """What :attr:`Call.stager` is for a way of staging. The caller closes it.

        Args:
            staging: ``blocking``, or ``background``.
        """

    def make_save_planner(self, kind: str) -> Any:
        """A ``SavePlanner`` of the kind that :attr:`planners` names."""

    def make_load_planner(self, kind: str) -> Any:
        """A ``LoadPlanner`` of the kind that :attr:`planners` names."""

    def save(self, state: dict[str, Any], writer: Any, planner: Any, place: str, call: Call) -> None:
        """Saves, as one rank's part of an operation of all ranks of the group that ``call`` names; without a process group, alone.

        Raises:
            BaseException: what the engine raises.
        """

    def async_save(self, state: dict[str, Any], writer: Any, planner: Any, place: str, call: Call) -> Saving:
        """Starts a save in the background.

        Raises:
            BaseException: what the engine raises.
        """

    def load(self, state: dict[str, Any], reader: Any, planner: Any, place: str, call: Call) -> None:
        """Loads into ``state``, likewise."""

    def committed(self, place: str, apart: int = 0) -> bool:
        """Whether the place holds a commit marker.

        Args:
            place: where.
            apart: how many ranks saved without collectives, each of which commits for itself: all must have; 0 for a save of all together.
        """

    def flaws(self, place: str) -> Sequence[str]:
        """What does not fit together in a committed checkpoint, one text each; nothing where the engine cannot tell.

        Args:
            place: where.
        """

    def fingerprint(self, place: str) -> Mapping[str, str]:
        """Everything stored at the place: name -> digest of the content."""

    def discard(self, place: str) -> None:
        """Removes whatever is stored at the place, if anything."""


BUILT_IN: dict[str, str] = {
    "filesystem": "ckpt_harness.engines.filesystem:FILESYSTEM",
    "filesystem-synced": "ckpt_harness.engines.filesystem:FILESYSTEM_SYNCED",
    "filesystem-items": "ckpt_harness.engines.filesystem:FILESYSTEM_ITEMS",
    "filesystem-threads": "ckpt_harness.engines.filesystem:FILESYSTEM_THREADS",
    "filesystem-zstd": "ckpt_harness.engines.filesystem_zstd:FILESYSTEM_ZSTD",
    "filesystem-no-collectives": "ckpt_harness.engines.filesystem:FILESYSTEM_NO_COLLECTIVES",
    "async-thread": "ckpt_harness.engines.filesystem:ASYNC_THREAD",
    "async-process": "ckpt_harness.engines.filesystem:ASYNC_PROCESS",
    "fsspec-file": "ckpt_harness.engines.fsspec_files:FSSPEC_FILES",
    "fsspec-memory": "ckpt_harness.engines.fsspec_memory:FSSPEC_MEMORY",
    "fsspec-s3": "ckpt_harness.engines.fsspec_s3:FSSPEC_S3",
    "huggingface": "ckpt_harness.engines.huggingface:HUGGINGFACE",
    "huggingface-consolidated": "ckpt_harness.engines.huggingface:HUGGINGFACE_CONSOLIDATED",
    "huggingface-quantized": "ckpt_harness.engines.huggingface:HUGGINGFACE_QUANTIZED",
}
"""Name -> ``module:object``."""


class ThirdParty(NamedTuple):
    """An engine that ships with the harness, for a package that does not.

    Attributes:
        target: ``module:object``; importing the module does not import the package.
        module: what of the package is imported.
        package: what pip installs.
    """

    target: str
    module: str
    package: str


THIRD_PARTY: dict[str, ThirdParty] = {
    "olmo-core": ThirdParty("ckpt_harness.engines.third_party.olmo_core:OLMO_CORE", "olmo_core", "ai2-olmo-core"),
    "torchtitan": ThirdParty("ckpt_harness.engines.third_party.torchtitan:TORCHTITAN", "torchtitan", "torchtitan"),
    "fabric": ThirdParty("ckpt_harness.engines.third_party.fabric:FABRIC", "lightning_fabric", "lightning-fabric"),
    "accelerate": ThirdParty("ckpt_harness.engines.third_party.accelerate:ACCELERATE", "accelerate", "accelerate"),
    "multi-storage-client": ThirdParty(
        "ckpt_harness.engines.third_party.multi_storage_client:MULTI_STORAGE_CLIENT", "multistorageclient", "multi-storage-client"
    ),
    "sagemaker": ThirdParty("ckpt_harness.engines.third_party.sagemaker:SAGEMAKER", "amzn_sagemaker_checkpointing", "amzn-sagemaker-checkpointing"),
    "megatron-core": ThirdParty("ckpt_harness.engines.third_party.megatron_core:MEGATRON_CORE", "megatron", "megatron-core"),
    "nvidia-resiliency-ext": ThirdParty(
        "ckpt_harness.engines.third_party.nvidia_resiliency_ext:NVIDIA_RESILIENCY_EXT", "nvidia_resiliency_ext", "nvidia-resiliency-ext"
    ),
    "s3torchconnector": ThirdParty("ckpt_harness.engines.third_party.s3torchconnector:S3TORCHCONNECTOR", "s3torchconnector", "s3torchconnector[dcp]"),
}
"""Name -> what it is, and what it needs. docs/THIRD_PARTIES.md tells how each fares."""


GROUP = "ckpt_harness.engines"
"""The entry-point group in which installed packages name engines of theirs."""


def named() -> dict[str, str]:
    """The engines that have a name: those built in, for third parties too, and those of installed packages, which may not take a name that is taken.

    Returns:
        Name -> ``module:object``.
    """
    taken = {**BUILT_IN, **{name: one.target for name, one in THIRD_PARTY.items()}}
    return taken | {name: target for name, target in _installed().items() if name not in taken}


@functools.cache
def _installed() -> dict[str, str]:
    """What installed packages name; read once, since every case asks for its engine many times."""
    return {entry.name: entry.value for entry in importlib.metadata.entry_points(group=GROUP)}


def find_engine(name: str) -> Engine:
    """Finds an engine by name, or imports it from ``module:object`` or ``path/to/file.py:object``; an object may be dotted.

    Raises:
        UsageError: unknown, or not importable; the message shows the valid names.
    """
    target = name if ":" in name else named().get(name, name)
    module, colon, attribute = target.rpartition(":")
    if not colon:
        raise UsageError(f"unknown engine {name!r}; engines: {', '.join(named())}, or module:object or file.py:object of your own")
    if name in THIRD_PARTY and not _is_installed(THIRD_PARTY[name].module):
        raise UsageError(f"engine {name!r} needs {THIRD_PARTY[name].package}, which is not installed; engines: {', '.join(named())}")
    try:
        loaded = _of_file(Path(module).resolve()) if module.endswith(".py") else importlib.import_module(module)
        return cast(Engine, operator.attrgetter(attribute)(loaded))
    except (ImportError, AttributeError, OSError) as error:
        choices = f"{', '.join(named())}, or module:object or file.py:object"
        raise UsageError(f"engine {name!r} cannot be imported: {error}; engines: {choices}") from error


@functools.cache
def _is_installed(module: str) -> bool:
    """Whether a module could be imported; that takes a moment for a large package, and is not tried."""
    return importlib.util.find_spec(module) is not None


@functools.cache
def _of_file(path: Path) -> ModuleType:
    """The module of a file: the one that a test runner has loaded already, under whatever name, or a new one that finds its neighbours."""
    for module in list(sys.modules.values()):
        if getattr(module, "__dict__", {}).get("__file__") == str(path):  # not getattr: some modules import others when asked
            return module
    spec = importlib.util.spec_from_file_location(f"_engine_in_{path.stem}", path)
    assert spec is not None and spec.loader is not None, "a name that ends in .py has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    sys.path.append(str(path.parent))
    spec.loader.exec_module(module)
    return module
