"""What readers got, kept by content: the same stored content is read once in a campaign, and not once in each case."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from ckpt_harness.engines.base import Engine

T = TypeVar("T")

_UUID = re.compile(rb"([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})")


class Readings:
    """Results of reading, for the length of a campaign.

    A result is used again only where it must come out the same:

    * The engine says that fresh ranks read nothing but what is stored (``stored`` in :class:`ckpt_harness.engines.base.Engine`), and gives all of it.
      An engine that asks a server, that keeps something in memory, or that says nothing is read anew every time.
    * The engine, the place, every byte and every file name are the same. DCP stores a new UUID in each checkpoint, so UUIDs may differ; but two
      that were equal must be equal, and two that differed must differ.
    * Whatever else the reading depends on is the same: the caller names it.

    Between a look at the content and the reading nothing may write there, and no fault may strike: the caller has the ranks stand still. The engine itself
    must be the same for the whole campaign.
    """

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Any] = {}

    def of(self, engine: Engine, place: str, depends_on: tuple[object, ...], read: Callable[[], T]) -> T:
        """Returns what ``read()`` returns, from an earlier call with the same content if there was one.

        Args:
            engine: reads.
            place: where the content is.
            depends_on: everything else that the result depends on, hashable.
            read: reads the place; its result is not changed by anyone.
        """
        look: Callable[[str], Mapping[str, bytes] | None] | None = getattr(engine, "stored", None)
        files = None if look is None else look(place)
        if files is None:
            return read()
        key = (engine, place, digest_of(files), depends_on)
        if key not in self._known:
            self._known[key] = read()
        result: T = self._known[key]
        return result


def digest_of(files: Mapping[str, bytes]) -> str:
    """A digest of names and contents: equal for files that differ in their UUIDs only, and different for others.

    UUIDs are numbered in the order in which they first come, so files where one UUID comes twice differ from files with two UUIDs.

    Example:
        >>> one, other = b"0a000000-0000-4000-8000-000000000000", b"0b000000-0000-4000-8000-000000000000"
        >>> digest_of({"a": one}) == digest_of({"a": other})
        True
        >>> digest_of({"a": one, "b": one}) == digest_of({"a": one, "b": other})
        False
    """
    whole = b"".join(b"%d %d %s %s\n" % (len(name), len(content), name.encode(), content) for name, content in sorted(files.items()))
    numbers: dict[bytes, int] = {}
    digest = hashlib.sha256()
    for index, part in enumerate(_UUID.split(whole)):
        is_uuid = index % 2
        if is_uuid:
            digest.update(b"uuid %d " % numbers.setdefault(part, len(numbers)))
        else:
            digest.update(b"%d %s" % (len(part), part))
    return digest.hexdigest()
