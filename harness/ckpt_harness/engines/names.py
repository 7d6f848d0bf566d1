"""Finding an engine by name: built-in engines, engines for third-party packages, engines of installed packages, and engines in a user's own files."""

from __future__ import annotations

import functools
import importlib.metadata
from typing import NamedTuple, cast

from ckpt_harness.engines.base import Engine
from ckpt_harness.engines.complete import complete
from ckpt_harness.engines.specs import is_installed, object_at
from ckpt_harness.errors import UsageError, blamed, quoted, unknown

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
"""Built-in engines: name -> ``module:object``."""


class ThirdParty(NamedTuple):
    """An engine for a package that is not a dependency of the harness.

    Attributes:
        target: ``module:object`` of the engine; importing that module does not import the package.
        module: the package's import name.
        package: the package's name for pip.
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
"""Engines for third-party packages, by name. docs/THIRD_PARTIES.md lists the results of each."""


GROUP = "ckpt_harness.engines"
"""The entry-point group by which installed packages provide engines."""


_SEE = "ckpt-harness engines"
_ALSO = "or file.py:object"


def named() -> dict[str, str]:
    """Returns all engines that have a name: name -> ``module:object``.

    An engine of an installed package does not replace a built-in engine of the same name.

    Example:
        >>> named()["filesystem"]
        'ckpt_harness.engines.filesystem:FILESYSTEM'
    """
    taken = {**BUILT_IN, **{name: engine.target for name, engine in THIRD_PARTY.items()}}
    return taken | {name: target for name, target in _installed().items() if name not in taken}


@functools.cache
def _installed() -> dict[str, str]:
    """Returns the engines of installed packages. Cached, since every case looks up its engine many times."""
    return {entry.name: entry.value for entry in importlib.metadata.entry_points(group=GROUP)}


def find_engine(name: str) -> Engine:
    """Finds an engine by its name or by where it is defined.

    Args:
        name: a name that ``ckpt-harness engines`` prints, or ``module:object``, or ``path/to/file.py:object``; the object may be dotted. A
            conformance class stands for its engine.

    Raises:
        UsageError: there is no such engine, it cannot be imported, or it lacks something that an engine must have.
    """
    target = name if ":" in name else named().get(name, name)
    if ":" not in target:
        raise UsageError(f"{unknown('engine', name, named(), see=_SEE)}, {_ALSO}")
    if name in THIRD_PARTY and not is_installed(THIRD_PARTY[name].module):
        package = THIRD_PARTY[name].package
        raise UsageError(f"engine {name!r} needs {package}, which is not installed: pip install '{package}'")
    found = object_at("engine", name, target, valid=f"module:object, {_ALSO}")
    with blamed(f"engine {quoted(name)} cannot be imported"):
        return cast(Engine, found) if name in BUILT_IN else complete(found, name)  # a test checks the built-in engines


def ships(name: str) -> bool:
    """Whether an engine is one that the harness itself brings, for DCP or for a third-party package.

    Example:
        >>> ships("filesystem"), ships("my_storage.py:ENGINE")
        (True, False)
    """
    return name in BUILT_IN or name in THIRD_PARTY
