"""Amazon's s3torchconnector: its S3 writer and reader for DCP, with a client in Rust, on a local S3 server (see :mod:`ckpt_harness.engines.moto`).

Not modelled: its prefix strategies, its readers for other purposes than DCP, and its client's default timeouts and retries.
"""

from __future__ import annotations

import functools
import os
from typing import Any

from ckpt_harness.engines import moto
from ckpt_harness.faults.protocol import Capability
from ckpt_harness.injection.object_store import reach


class S3TorchConnectorEngine(moto.MotoEngine):
    """DCP with the connector's writer and reader: those of DCP, on a ``FileSystemBase`` for S3. The client tries each request three times."""

    name = "s3torchconnector"
    about = "Amazon's s3torchconnector: S3StorageWriter, with a local S3 server (moto)"
    capabilities = moto.MotoEngine.capabilities - {Capability.WITHOUT_COLLECTIVES}

    def make_writer(self, place: str) -> Any:
        """Makes a writer for the prefix."""
        from s3torchconnector.dcp import S3StorageWriter

        return _reaching(place, S3StorageWriter)

    def make_reader(self, place: str) -> Any:
        """Makes a reader for the prefix."""
        from s3torchconnector.dcp import S3StorageReader

        return _reaching(place, S3StorageReader)


def _reaching(place: str, kind: Any) -> Any:
    """Makes a storage object and replaces its client, since its constructor has no parameter for the server's address."""
    store, key = moto.Place.of(place)
    storage = kind(moto.REGION, f"s3://{key}", s3client_config=_settings())
    storage.fs._client = _client(reach(store))
    return storage


@functools.cache
def _client(address: str) -> Any:
    """Makes a client of the package. It reads its credentials from the environment; in a forked process, it connects anew."""
    from s3torchconnector._s3client import S3Client

    os.environ.setdefault("AWS_ACCESS_KEY_ID", moto.KEY)
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", moto.KEY)
    return S3Client(moto.REGION, endpoint=address, s3client_config=_settings())


def _settings() -> Any:
    from s3torchconnector import S3ClientConfig

    return S3ClientConfig(force_path_style=True, max_attempts=3)


S3TORCHCONNECTOR = S3TorchConnectorEngine()
