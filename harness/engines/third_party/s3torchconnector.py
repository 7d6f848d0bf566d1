"""Amazon's s3torchconnector: its S3 writer and reader for DCP, on the object store at the address that ``AWS_ENDPOINT_URL`` names.

The bucket ``checkpoint-harness`` has to be there. Credentials come from the environment, where the package's client finds them.

Not modelled: its strategies for prefixes, its readers beside the one that it takes for DCP, and the time that its client spends on trying again.
"""

from __future__ import annotations

import functools
import hashlib
import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from harness.engines.dcp import DcpCalls, markers
from harness.protocol import DCP, Capability, Protocol

_REGION, _BUCKET = "us-east-1", "checkpoint-harness"


class S3TorchConnectorEngine(DcpCalls):
    """DCP with the connector's writer and reader, which are DCP's own on a ``FileSystemBase`` that speaks S3."""

    name = "s3torchconnector"
    about = "s3torchconnector's S3StorageWriter, on the store of AWS_ENDPOINT_URL"
    protocol: Protocol = DCP
    capabilities = frozenset({Capability.COLLECTIVES, Capability.ANY_COORDINATOR, Capability.COMMIT_MARKER, Capability.FILE_SYSTEM})

    def __init__(self) -> None:
        self._numbers = itertools.count()
        self._roots: dict[Path, int] = {}

    def place(self, root: Path, name: str) -> str:
        """A key prefix, numbered and of this process, so that processes can share the bucket."""
        return f"s3://{_BUCKET}/{os.getpid()}-{self._roots.setdefault(root, next(self._numbers))}/{name}"

    def make_writer(self, place: str) -> Any:
        """A writer for the prefix."""
        from s3torchconnector.dcp import S3StorageWriter

        return S3StorageWriter(_REGION, place, s3client_config=_settings())

    def make_reader(self, place: str) -> Any:
        """A reader for the prefix."""
        from s3torchconnector.dcp import S3StorageReader

        return S3StorageReader(_REGION, place, s3client_config=_settings())

    def committed(self, place: str, apart: int = 0) -> bool:
        """Whether ``.metadata`` is there, or that of each rank."""
        return set(markers(apart)) <= self._objects(place).keys()

    def flaws(self, place: str) -> Sequence[str]:
        """None: what the metadata promises is looked for by loading it."""
        return ()

    def fingerprint(self, place: str) -> Mapping[str, str]:
        """Relative key -> SHA-256 of each object."""
        client, bucket = _client(), _BUCKET
        return {name: hashlib.sha256(client.get_object(bucket, key).read()).hexdigest() for name, key in self._objects(place).items()}

    def discard(self, place: str) -> None:
        """Removes every object below the prefix."""
        for key in self._objects(place).values():
            _client().delete_object(_BUCKET, key)

    def _objects(self, place: str) -> dict[str, str]:
        """Relative key -> key of each object."""
        prefix = place.removeprefix(f"s3://{_BUCKET}/") + "/"
        pages = _client().list_objects(_BUCKET, prefix)
        return {one.key.removeprefix(prefix): one.key for one in sorted((one for page in pages for one in page.object_info), key=lambda one: str(one.key))}


def _settings() -> Any:
    """One try of each request: what is injected is to be seen, not retried."""
    from s3torchconnector import S3ClientConfig

    return S3ClientConfig(force_path_style=True, max_attempts=1)


@functools.cache
def _client() -> Any:
    """The package's own client; in a process that was forked since, it connects anew."""
    from s3torchconnector._s3client import S3Client

    return S3Client(_REGION, s3client_config=_settings())


S3TORCHCONNECTOR = S3TorchConnectorEngine()
