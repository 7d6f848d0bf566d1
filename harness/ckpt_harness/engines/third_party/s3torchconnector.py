"""Amazon's s3torchconnector: its S3 writer and reader for DCP, whose client is written in Rust, against moto's server (see :mod:`ckpt_harness.engines.moto`).

Not modelled: its strategies for prefixes, its readers beside the one that it takes for DCP, and the patience that its client has by default.
"""

from __future__ import annotations

import functools
import os
from typing import Any

from ckpt_harness.engines import moto
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.injection.object_store import reach


class S3TorchConnectorEngine(moto.MotoEngine):
    """DCP with the connector's writer and reader, which are DCP's own on a ``FileSystemBase`` that speaks S3. Each request is tried three times."""

    name = "s3torchconnector"
    about = "s3torchconnector's S3StorageWriter, against moto's server"
    capabilities = moto.MotoEngine.capabilities - {Capability.WITHOUT_COLLECTIVES}

    def make_writer(self, place: str) -> Any:
        """A writer for the prefix."""
        from s3torchconnector.dcp import S3StorageWriter

        return _reaching(place, S3StorageWriter)

    def make_reader(self, place: str) -> Any:
        """A reader for the prefix."""
        from s3torchconnector.dcp import S3StorageReader

        return _reaching(place, S3StorageReader)


def _reaching(place: str, kind: Any) -> Any:
    """A storage of the connector's, on a client that reaches the store where the calling rank does: its constructor takes no address."""
    store, key = moto.Place.of(place)
    storage = kind(moto.REGION, f"s3://{key}", s3client_config=_settings())
    storage.fs._client = _client(reach(store))
    return storage


@functools.cache
def _client(address: str) -> Any:
    """A client of the package's; in a process that was forked since, it connects anew. It takes its credentials from the environment."""
    from s3torchconnector._s3client import S3Client

    os.environ.setdefault("AWS_ACCESS_KEY_ID", moto.KEY)
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", moto.KEY)
    return S3Client(moto.REGION, endpoint=address, s3client_config=_settings())


def _settings() -> Any:
    from s3torchconnector import S3ClientConfig

    return S3ClientConfig(force_path_style=True, max_attempts=3)


S3TORCHCONNECTOR = S3TorchConnectorEngine()
