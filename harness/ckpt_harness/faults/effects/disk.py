"""Effects below the storage: what disks, file systems and mounts do to the calls and the bytes of a storage writer or reader.

At ``fs.write`` and ``fs.read`` an effect strikes the bytes of one call. At ``fs.create_stream`` it strikes a whole file: the bytes that are read from
the file or, for a file that is written, its content after it was closed. Errors and short counts are reported to the caller; all else is silent damage.

Not modelled: damage that changes from one read of the same bytes to the next, and bytes that arrive out of order within one call.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import ClassVar

from ckpt_harness.errors import PlanError
from ckpt_harness.faults import error_specs
from ckpt_harness.faults.effects.base import Effect
from ckpt_harness.faults.sites import Site

_LARGEST = 1 << 40
"""Bytes. Larger numbers are typing errors."""


@dataclass(frozen=True)
class _OfBytes(Effect):
    """Base of the effects on bytes. All fields are numbers of bytes.

    Attributes:
        sites: the sites at which the effect is legal.
    """

    can_be_after: ClassVar[bool] = False
    sites: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            number = getattr(self, field.name)
            if not 0 <= number <= _LARGEST:
                raise PlanError(f"argument {number} of {self.name}; valid: 0 to {_LARGEST} bytes")

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return site.name in cls.sites


@dataclass(frozen=True)
class DiskError(Effect):
    """The operating system refuses the call, with an ``OSError`` as the kernel makes it: the message names no rank.

    Attributes:
        errno: symbolic error number.

    Example:
        >>> from ckpt_harness import DiskError, Fault
        >>> str(Fault("fs.rename", (0,), DiskError("EROFS")))
        'fs.rename@0=diskerror(EROFS)'
    """

    errno: str = "EIO"
    name: ClassVar[str] = "diskerror"
    about: ClassVar[str] = "the call fails like a system call: diskerror, diskerror(ENOSPC), diskerror(EROFS)"

    def __post_init__(self) -> None:
        error_specs.check_errno(self.errno)

    @classmethod
    def legal_at(cls, site: Site) -> bool:
        return site.side == "fs"


@dataclass(frozen=True)
class NoSpace(_OfBytes):
    """The disk is full: from the struck call on, only a number of bytes of the rank's files fit; further bytes are refused with ENOSPC.

    Like a real disk it takes the part of a write that fits. Small writes wait in a buffer, so the refusal may come with a later flush or close.
    The effect lasts until the rank is healed, and fires when the disk first refuses bytes. A fault that names an operation, such as ``save[3]``, ends with
    that operation: then somebody has made room.

    Attributes:
        after_bytes: the number of bytes that still fit.

    Example:
        >>> from ckpt_harness import Fault, NoSpace
        >>> str(Fault("fs.write", (1,), NoSpace(4096), glob="*.distcp"))
        'fs.write(*.distcp)@1=nospace(4096)'
    """

    after_bytes: int = 0
    name: ClassVar[str] = "nospace"
    sites: ClassVar[tuple[str, ...]] = ("fs.write",)
    about: ClassVar[str] = "from this call on only a number of bytes fit: nospace, nospace(4096)"


@dataclass(frozen=True)
class ShortWrite(_OfBytes):
    """The call takes only the first bytes and returns their number: the caller must write the rest again.

    Attributes:
        keep_bytes: the number of bytes that the call takes.
    """

    keep_bytes: int = 1
    name: ClassVar[str] = "shortwrite"
    sites: ClassVar[tuple[str, ...]] = ("fs.write",)
    about: ClassVar[str] = "write() takes only the first bytes and returns their number: shortwrite(100)"


@dataclass(frozen=True)
class TornWrite(_OfBytes):
    """The first bytes of a write are stored, the rest reads as zeros, and the call reports success.

    Attributes:
        keep_bytes: the number of bytes that are stored.
    """

    keep_bytes: int = 0
    name: ClassVar[str] = "tornwrite"
    sites: ClassVar[tuple[str, ...]] = ("fs.write",)
    about: ClassVar[str] = "the first bytes are stored, the rest reads as zeros, silently: tornwrite(512)"


@dataclass(frozen=True)
class BitFlip(_OfBytes):
    """One bit is wrong.

    Attributes:
        byte: index of the byte whose lowest bit flips, modulo the number of bytes.
    """

    byte: int = 0
    name: ClassVar[str] = "bitflip"
    sites: ClassVar[tuple[str, ...]] = ("fs.write", "fs.read", "fs.create_stream", "http.put", "http.get")
    about: ClassVar[str] = "the lowest bit of a byte of the call (at create_stream: of the file) flips silently: bitflip(300)"


@dataclass(frozen=True)
class ZeroFill(_OfBytes):
    """All bytes are zeros, like a block that was never written."""

    name: ClassVar[str] = "zerofill"
    sites: ClassVar[tuple[str, ...]] = ("fs.write", "fs.read", "fs.create_stream")
    about: ClassVar[str] = "all bytes of the call (at create_stream: of the file) are silently zeros"


@dataclass(frozen=True)
class Truncate(_OfBytes):
    """The end is missing.

    Attributes:
        keep_bytes: the number of bytes that are left.
    """

    keep_bytes: int = 0
    name: ClassVar[str] = "truncate"
    sites: ClassVar[tuple[str, ...]] = ("fs.read", "fs.create_stream")
    about: ClassVar[str] = "the bytes that are read (at create_stream: the file) silently end early: truncate(100)"


@dataclass(frozen=True)
class Misdirect(_OfBytes):
    """The bytes of a file land in, or come from, the next file of its directory (by name; after the last file the first): a block at a wrong address."""

    name: ClassVar[str] = "misdirect"
    sites: ClassVar[tuple[str, ...]] = ("fs.create_stream",)
    about: ClassVar[str] = "the next file of the directory is silently written, or read, instead"


@dataclass(frozen=True)
class StaleRead(_OfBytes):
    """Storage answers as if the file had not been written yet, like a cache, or a mount or store that is only eventually consistent."""

    name: ClassVar[str] = "staleread"
    sites: ClassVar[tuple[str, ...]] = ("fs.create_stream", "fs.exists", "fs.ls", "http.get", "http.head", "http.list")
    about: ClassVar[str] = "a written file is not visible yet: it cannot be opened, exists() is false, ls() is empty"
