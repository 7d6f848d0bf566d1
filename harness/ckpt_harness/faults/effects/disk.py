"""Effects that strike below the storage: what disks, file systems and mounts do to the calls and the bytes of a storage writer or reader.

At ``fs.write`` and ``fs.read`` an effect strikes the bytes of one call, at ``fs.create_stream`` a file as a whole: what is read from it or, of a file
that is written, what it holds once it has been closed. Errors and short counts are told to the caller; everything else is silent damage.

Not modelled: damage that comes and goes from one read of the same bytes to the next, and bytes that arrive out of order within one call.
"""

from __future__ import annotations

import dataclasses
import errno
from dataclasses import dataclass
from typing import ClassVar

from ckpt_harness.errors import PlanError
from ckpt_harness.faults.effects.base import Effect
from ckpt_harness.faults.sites import Site

_LARGEST = 1 << 40
"""Bytes; larger numbers are typing errors."""


@dataclass(frozen=True)
class _OfBytes(Effect):
    """Base of the effects on bytes.

    Attributes:
        sites: where they mean something.
    """

    can_be_after: ClassVar[bool] = False
    sites: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # all are numbers of bytes
            number = getattr(self, field.name)
            if not 0 <= number <= _LARGEST:
                raise PlanError(f"{self.name} with {number} bytes; valid: 0 to {_LARGEST}")

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return site.name in cls.sites


@dataclass(frozen=True)
class DiskError(Effect):
    """The operating system refuses the call: an ``OSError`` as the kernel makes it, which names no rank.

    Attributes:
        errno: symbolic error number.
    """

    errno: str = "EIO"
    name: ClassVar[str] = "diskerror"
    about: ClassVar[str] = "the call fails as a system call does: diskerror, diskerror(ENOSPC), diskerror(EROFS)"

    def __post_init__(self) -> None:
        if self.errno not in errno.errorcode.values():
            raise PlanError(f"diskerror {self.errno!r}; valid: {', '.join(sorted(errno.errorcode.values()))}")

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return site.side == "fs"


@dataclass(frozen=True)
class NoSpace(_OfBytes):
    """The disk is full: from the struck call on, so many more bytes of the rank's files fit, and what does not fit is refused with ENOSPC.

    As a real disk does, it takes the part of a write that fits; small writes wait in a buffer, so the refusal may come with a later flush or close.
    It lasts until the rank is healed, and fires when it first refuses bytes.

    Attributes:
        after_bytes: how many bytes still fit.
    """

    after_bytes: int = 0
    name: ClassVar[str] = "nospace"
    sites: ClassVar[tuple[str, ...]] = ("fs.write",)
    about: ClassVar[str] = "from here on only so many bytes fit: nospace, nospace(4096)"


@dataclass(frozen=True)
class ShortWrite(_OfBytes):
    """The call takes only the first bytes, and says so by the number that it returns: the caller is to write the rest again.

    Attributes:
        keep_bytes: how many it takes.
    """

    keep_bytes: int = 1
    name: ClassVar[str] = "shortwrite"
    sites: ClassVar[tuple[str, ...]] = ("fs.write",)
    about: ClassVar[str] = "write() takes the first bytes only, and returns how many: shortwrite(100)"


@dataclass(frozen=True)
class TornWrite(_OfBytes):
    """The first bytes of a write are stored, the rest reads as zeros, and the call says yes.

    Attributes:
        keep_bytes: how many are stored.
    """

    keep_bytes: int = 0
    name: ClassVar[str] = "tornwrite"
    sites: ClassVar[tuple[str, ...]] = ("fs.write",)
    about: ClassVar[str] = "the first bytes are stored, the rest reads as zeros, silently: tornwrite(512)"


@dataclass(frozen=True)
class BitFlip(_OfBytes):
    """One bit is another than it should be.

    Attributes:
        byte: the byte whose lowest bit flips; counted round where there are fewer.
    """

    byte: int = 0
    name: ClassVar[str] = "bitflip"
    sites: ClassVar[tuple[str, ...]] = ("fs.write", "fs.read", "fs.create_stream", "http.put", "http.get")
    about: ClassVar[str] = "the lowest bit of a byte of the call, or of the file at create_stream, flips silently: bitflip(300)"


@dataclass(frozen=True)
class ZeroFill(_OfBytes):
    """All bytes are zeros, as of a block that was never written."""

    name: ClassVar[str] = "zerofill"
    sites: ClassVar[tuple[str, ...]] = ("fs.write", "fs.read", "fs.create_stream")
    about: ClassVar[str] = "the bytes of the call, or of the file at create_stream, are all zeros, silently"


@dataclass(frozen=True)
class Truncate(_OfBytes):
    """The end is missing.

    Attributes:
        keep_bytes: how many are left.
    """

    keep_bytes: int = 0
    name: ClassVar[str] = "truncate"
    sites: ClassVar[tuple[str, ...]] = ("fs.read", "fs.create_stream")
    about: ClassVar[str] = "what is read, or the file at create_stream, ends after so many bytes, silently: truncate(100)"


@dataclass(frozen=True)
class Misdirect(_OfBytes):
    """The bytes of a file land in, or come from, the next file of its directory, by name and round: a block at another's address."""

    name: ClassVar[str] = "misdirect"
    sites: ClassVar[tuple[str, ...]] = ("fs.create_stream",)
    about: ClassVar[str] = "the file's neighbour in the directory is written, or read, in its place, silently"


@dataclass(frozen=True)
class StaleRead(_OfBytes):
    """Storage answers as it was before the file was written, as caches, and mounts and stores that are consistent in the end, do: it is not there yet."""

    name: ClassVar[str] = "staleread"
    sites: ClassVar[tuple[str, ...]] = ("fs.create_stream", "fs.exists", "fs.ls", "http.get", "http.head", "http.list")
    about: ClassVar[str] = "what was written is not visible yet: the file is not there, exists() denies it, ls() is empty"
