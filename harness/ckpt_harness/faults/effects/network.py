"""Effects on the HTTP requests by which a storage reaches an object store: what real stores and networks do to requests.

Not modelled: what a proxy or a load balancer adds, TLS, and bytes that trickle in slowly: a throttled body waits first, and then comes at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from ckpt_harness.errors import PlanError, quoted
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
"""HTTP status -> the error code that S3 sends with it, unless the plan names another code."""


@dataclass(frozen=True)
class Status(Effect):
    """The store answers with an error; with ``!after``, although it has done its work.

    Attributes:
        status: the HTTP status, 400 to 599.
        code: the error code in the body, as S3 names it. Default: the code of :data:`CODES`.
    """

    status: int = 503
    code: str = ""
    name: ClassVar[str] = "status"
    about: ClassVar[str] = "the store answers with an error: status (503), status(500), status(503,SlowDown), status(429)"

    def __post_init__(self) -> None:
        if not 400 <= self.status <= 599:
            raise PlanError(f"argument {self.status} of status; valid: 400 to 599, such as {', '.join(map(str, CODES))}")
        if not re.fullmatch(r"\w*", self.code):
            raise PlanError(f"argument {quoted(self.code)} of status; valid: a word such as SlowDown")

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return site.layer == "network"

    @property
    def error_code(self) -> str:
        """The error code in the body.

        Example:
            >>> Status(503).error_code
            'ServiceUnavailable'
        """
        return self.code or CODES.get(self.status, "InternalError")


@dataclass(frozen=True)
class Reset(Effect):
    """The connection is reset before the request arrives or, with ``!after``, before the answer comes back (the lost acknowledgement)."""

    name: ClassVar[str] = "reset"
    about: ClassVar[str] = "the connection is reset; with !after the store has done its work and the answer is lost"

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return site.layer == "network"


@dataclass(frozen=True)
class CutBody(Effect):
    """The answer announces its whole body, and the connection closes after a part of it.

    Attributes:
        keep_bytes: the number of bytes that come.
    """

    keep_bytes: int = 0
    name: ClassVar[str] = "cutbody"
    can_be_after: ClassVar[bool] = False
    about: ClassVar[str] = "the answer's body ends early, although more bytes were announced: cutbody(100)"

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return site.name in ("http.get", "http.list")


@dataclass(frozen=True)
class Throttle(Effect):
    """Requests and answers pass at a limited rate.

    Attributes:
        bytes_per_second: the rate, in real time.
    """

    bytes_per_second: int = 1_000_000
    name: ClassVar[str] = "throttle"
    can_be_after: ClassVar[bool] = False
    about: ClassVar[str] = "requests and answers pass at a limited number of bytes per second of real time: throttle(100000)"

    def __post_init__(self) -> None:
        if self.bytes_per_second < 1:
            raise PlanError(f"argument {self.bytes_per_second} of throttle; valid: 1 byte per second or more")

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return site.layer == "network"
