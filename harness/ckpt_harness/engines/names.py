"""Engines by name: those built in, those for third-party packages, and those that installed packages or files provide."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import importlib.util
import operator
import sys
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, cast

from ckpt_harness.engines.base import Engine
from ckpt_harness.errors import UsageError

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


def known_as(name: str) -> tuple[str, ...]:
    """The engine's own name and, for a storage that inherits one of DCP's own, that of the built-in engine whose findings it inherits with it.

    Args:
        name: of the engine, which says the other in an attribute ``kin``, if it has one.
    """
    kin: str = getattr(find_engine(name), "kin", "")
    return (name, kin) if kin else (name,)


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
