"""A local S3 server for engines on object stores: moto's server, in a process of its own, on a free port of the loopback interface.

The server starts at first use and ends with this process. It is not a thread of this process, because a finalizer may send it a request from any
thread: on a thread of the server, that request would wait for itself.

Not modelled: properties of real stores that moto lacks: eventual consistency, permissions, checks of signatures, and rate limits.
"""

from __future__ import annotations

import atexit
import functools
import hashlib
import itertools
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import Request, urlopen
from xml.etree import ElementTree as ET

from ckpt_harness.engines.dcp import DCP_CAPABILITIES, WITHOUT_ID, DcpCalls, markers
from ckpt_harness.errors import UsageError
from ckpt_harness.faults.protocol import Capability, Protocol

BUCKET = "ckpt-harness"
REGION = "us-east-1"
KEY = "harness"
"""Both access key and secret key; moto accepts any."""
HEADERS = {"Authorization": f"AWS4-HMAC-SHA256 Credential={KEY}/20200101/{REGION}/s3/aws4_request, SignedHeaders=host, Signature=0"}
"""Headers for requests without a client: moto needs an access key, and does not check the signature."""

_numbers = itertools.count()
_prefixes: dict[Path, int] = {}


_PROGRAM = """
import logging, os, sys
try:
    from moto.server import ThreadedMotoServer
except ImportError as error:
    print(error)
else:
    logging.getLogger("werkzeug").setLevel(logging.CRITICAL)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    print("http://%s:%d" % server.get_host_and_port(), flush=True)
    sys.stdin.read()
    os._exit(0)
"""


@functools.cache
def server() -> str:
    """Returns the address of the server; starts it and creates the bucket at first use.

    Raises:
        UsageError: moto is not installed, or its server does not start.
    """
    pipes: Any = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    running: subprocess.Popen[str] = subprocess.Popen([sys.executable, "-c", _PROGRAM], text=True, **pipes)
    assert running.stdout is not None
    address = running.stdout.readline().strip()
    atexit.register(_end, running)
    if not address.startswith("http"):
        raise UsageError(f"the local S3 server (moto) does not start: {address or 'no output'}; valid: pip install 'ckpt-harness[s3]'")
    _asked("PUT", f"{address}/{BUCKET}")
    return address


def _end(running: subprocess.Popen[str]) -> None:
    assert running.stdin is not None
    assert running.stdout is not None
    running.stdin.close()
    running.stdout.close()
    running.wait(30)


def place(root: Path, name: str) -> str:
    """Returns the address of a checkpoint in the store. It contains a number in place of ``root``, so that no path of the machine is stored or printed."""
    return f"{server()}/{BUCKET}/{_prefixes.setdefault(root, next(_numbers))}/{name}"


class Place(NamedTuple):
    """The parts of a checkpoint's address.

    Attributes:
        store: the server's address.
        key: bucket and prefix.

    Example:
        >>> Place.of("http://127.0.0.1:5000/ckpt-harness/0/save-1")
        Place(store='http://127.0.0.1:5000', key='ckpt-harness/0/save-1')
    """

    store: str
    key: str

    @classmethod
    def of(cls, place: str) -> Place:
        """Splits an address into its parts."""
        parts = urlsplit(place)
        return cls(f"{parts.scheme}://{parts.netloc}", parts.path.lstrip("/"))


def keys(place: str) -> list[str]:
    """Returns the keys below a checkpoint's address, relative to it, sorted."""
    store, key = Place.of(place)
    bucket, _, prefix = key.partition("/")
    return sorted(listed.removeprefix(f"{prefix}/") for listed in _listed(f"{store}/{bucket}", f"{prefix}/"))


def _listed(bucket: str, prefix: str) -> Iterator[str]:
    token = ""
    while True:
        query = {"list-type": "2", "prefix": prefix} | ({"continuation-token": token} if token else {})
        root = ET.fromstring(_asked("GET", f"{bucket}?{urlencode(query)}"))
        found = {entry.tag.rpartition("}")[2]: entry.text for entry in root}
        yield from (str(entry.text) for entry in root.iter() if entry.tag.rpartition("}")[2] == "Key")
        token = found.get("NextContinuationToken") or ""
        if not token:
            return


def exists(place: str, name: str) -> bool:
    """Returns whether an object with this name exists."""
    try:
        _asked("HEAD", f"{place}/{quote(name)}")
    except HTTPError as error:
        if error.code == 404:
            return False
        raise
    return True


def fingerprint(place: str) -> Mapping[str, str]:
    """Returns the SHA-256 of each object, by relative key."""
    return {key: hashlib.sha256(_asked("GET", f"{place}/{quote(key)}")).hexdigest() for key in keys(place)}


def discard(place: str) -> None:
    """Removes every object below a checkpoint's address."""
    for key in keys(place):
        _asked("DELETE", f"{place}/{quote(key)}")


def _asked(method: str, url: str) -> bytes:
    """Sends a request without any client under test, and returns the body of the answer."""
    with urlopen(Request(url, method=method, headers=HEADERS), timeout=30) as answer:
        return bytes(answer.read())


class MotoEngine(DcpCalls):
    """DCP on the local S3 server: everything except writer and reader. These connect their clients to the address from ``ckpt_harness.reach``."""

    protocol: Protocol = WITHOUT_ID
    capabilities = DCP_CAPABILITIES | {Capability.OBJECT_STORE}

    def checkpoint_id(self, place: str) -> None:
        """Returns None: a ``reset`` would treat the address as a path, and the writer would lose the connection to its store."""

    def place(self, root: Path, name: str) -> str:
        """Returns an address in the store."""
        return place(root, name)

    def committed(self, place: str, apart: int = 0) -> bool:
        """Returns whether ``.metadata`` exists, or for a save without collectives, that of each rank."""
        return all(exists(place, name) for name in markers(apart))

    def flaws(self, place: str) -> Sequence[str]:
        """Returns nothing: only loads check the metadata of this engine."""
        return ()

    def fingerprint(self, place: str) -> Mapping[str, str]:
        """Returns the SHA-256 of each object, by relative key."""
        return fingerprint(place)

    def discard(self, place: str) -> None:
        """Removes every object below the prefix."""
        discard(place)
