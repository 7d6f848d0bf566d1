"""Effects that strike the HTTP requests by which a storage reaches an object store: what real stores and the network between do to them.

Not modelled: what a proxy or a load balancer adds, TLS, and bytes that trickle in one by one: what is throttled waits first, and then comes at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from ckpt_harness.errors import PlanError
from ckpt_harness.faults.effects.base import Effect
from ckpt_harness.faults.sites import Site

CODES = {
    400: "RequestTimeout",
    403: "AccessDenied",
    404: "NoSuchKey",
    409: "OperationAborted",
    412: "PreconditionFailed",
    429: "TooManyRequests",
    500: "InternalError",
    502: "BadGateway",
    503: "ServiceUnavailable",
    504: "GatewayTimeout",
}
"""Status -> the error code that S3 sends with it, unless the plan says another."""


@dataclass(frozen=True)
class Status(Effect):
    """The store answers with an error; ``!after``, though it did what it was asked.

    Attributes:
        status: of HTTP, 400 to 599.
        code: the error's name in the body, as S3 has it; by default that of :data:`CODES`.
    """

    status: int = 503
    code: str = ""
    name: ClassVar[str] = "status"
    about: ClassVar[str] = "the store answers with an error: status (503), status(500), status(503,SlowDown), status(429)"

    def __post_init__(self) -> None:
        if not 400 <= self.status <= 599:
            raise PlanError(f"status {self.status}; valid: 400 to 599, such as {', '.join(map(str, CODES))}")
        if not re.fullmatch(r"\w*", self.code):
            raise PlanError(f"error code {self.code!r} of status; valid: a word such as SlowDown")

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return site.layer == "network"

    @property
    def told(self) -> str:
        """The error's name in the body."""
        return self.code or CODES.get(self.status, "InternalError")


@dataclass(frozen=True)
class Reset(Effect):
    """The connection is reset before the request gets there or, ``!after``, before its answer comes back: the lost acknowledgement."""

    name: ClassVar[str] = "reset"
    about: ClassVar[str] = "the connection is reset; !after: the store did what it was asked, and the answer is lost"

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return site.layer == "network"


@dataclass(frozen=True)
class CutBody(Effect):
    """The answer announces all of its body, and the connection closes after some bytes of it.

    Attributes:
        keep_bytes: how many come.
    """

    keep_bytes: int = 0
    name: ClassVar[str] = "cutbody"
    can_be_after: ClassVar[bool] = False
    about: ClassVar[str] = "the answer's body ends after so many bytes, though more were announced: cutbody(100)"

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return site.name in ("http.get", "http.list")


@dataclass(frozen=True)
class Throttle(Effect):
    """What is sent and answered passes at a limited rate.

    Attributes:
        bytes_per_second: the rate, in real time.
    """

    bytes_per_second: int = 1_000_000
    name: ClassVar[str] = "throttle"
    can_be_after: ClassVar[bool] = False
    about: ClassVar[str] = "bytes pass at so many a second, of real time: throttle(100000)"

    def __post_init__(self) -> None:
        if self.bytes_per_second < 1:
            raise PlanError(f"throttle to {self.bytes_per_second} bytes a second; valid: 1 or more")

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return site.layer == "network"
