r"""The framing of HTTP/1.1: where a message begins and ends in a stream of bytes, which pass on unchanged.

Only what framing needs is read: the start line, the names and values of headers, lengths and chunks. Everything else is left as it came, even where it
is malformed.

Example:
    >>> stream = bytearray(b"PUT /b/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n4\r\ndata\r\n0\r\n\r\nGET ")
    >>> head = take_head(stream)
    >>> head.words[:2], head["transfer-encoding"]
    (('PUT', '/b/k'), 'chunked')
    >>> body = body_of_request(head)
    >>> body.feed(bytes(stream)), body.done
    ((14, b'data'), True)
"""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass

_END_OF_HEAD = re.compile(rb"\r?\n\r?\n")
_LONGEST_HEAD = 1 << 18


class MalformedError(ValueError):
    """The bytes are no message of HTTP/1."""


@dataclass(frozen=True)
class Head:
    """The head of a message.

    Attributes:
        raw: its bytes, up to and with the empty line.
        words: the three words of the start line; of an answer, the second is the status.
        headers: (name, value), in order.
    """

    raw: bytes
    words: tuple[str, str, str]
    headers: tuple[tuple[str, str], ...]

    def __getitem__(self, name: str) -> str:
        """The values of a header, joined by commas; "" without such a header."""
        return ", ".join(value for known, value in self.headers if known.lower() == name)

    @property
    def status(self) -> int:
        """The status of an answer."""
        return int(self.words[1])

    @property
    def expects_to_continue(self) -> bool:
        """Whether a client waits for "100 Continue" before it sends the body."""
        return self["expect"].lower() == "100-continue"


def take_head(stream: bytearray) -> Head | None:
    """Takes a head off the beginning of a stream; None as long as it is not complete.

    Raises:
        MalformedError: the stream does not begin with a head.
    """
    blank = len(stream) - len(stream.lstrip(b"\r\n"))  # empty lines before a request are ignored by servers
    end = _END_OF_HEAD.search(stream, blank)
    if end is None:
        if len(stream) > _LONGEST_HEAD:
            raise MalformedError("a head without an end")
        return None
    raw = bytes(stream[: end.end()])
    first, *lines = re.split(r"\r?\n", raw[blank : end.start()].decode("latin-1"))
    words = (*first.split(" ", 2), "", "")[:3]
    if not words[1] or "HTTP/1." not in (words[0][:7], words[2][:7]):
        raise MalformedError(f"{first!r} is no start line")
    headers = tuple((name, value.strip()) for name, _, value in (line.partition(":") for line in lines))
    del stream[: end.end()]
    return Head(raw, (words[0], words[1], words[2]), headers)


class _Part(enum.Enum):
    """What a chunked body continues with."""

    SIZE = enum.auto()
    DATA = enum.auto()
    END_OF_DATA = enum.auto()
    TRAILER = enum.auto()


class Body:
    """Follows a body through the stream.

    Args:
        length: the number of bytes; None for a body that ends with the connection.
        chunked: whether the body comes in chunks; ``length`` is ignored then.

    Attributes:
        done: whether the body has ended.
        endless: whether the body ends with the connection.
        size: the number of bytes of content that were seen so far.
    """

    def __init__(self, length: int | None, *, chunked: bool = False) -> None:
        self.chunked = chunked
        self.endless = length is None and not chunked
        self.done = length == 0 and not chunked
        self.size = 0
        self._left = 0 if chunked else length or 0
        self._part = _Part.SIZE
        self._line = b""

    def feed(self, data: bytes) -> tuple[int, bytes]:
        """Follows the next bytes of the stream.

        Returns:
            The number of bytes that belong to the body, framing included, and the content among them.

        Raises:
            MalformedError: the chunks are malformed.
        """
        if self.chunked:
            return self._feed_chunks(data)
        used = len(data) if self.endless else min(len(data), self._left)
        self._left -= used
        self.done = not self.endless and self._left == 0
        self.size += used
        return used, data[:used]

    def _feed_chunks(self, data: bytes) -> tuple[int, bytes]:
        position, content = 0, []
        while position < len(data) and not self.done:
            if self._part is _Part.DATA:
                piece = data[position : position + self._left]
                content.append(piece)
                position += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._part = _Part.END_OF_DATA
                continue
            end = data.find(b"\n", position) + 1
            self._line += data[position : end or len(data)]
            position = end or len(data)
            if end:
                line, self._line = self._line.strip(), b""
                self._end_line(line)
        joined = b"".join(content)
        self.size += len(joined)
        return position, joined

    def _end_line(self, line: bytes) -> None:
        """Goes on after a whole line that is not data."""
        if self._part is _Part.END_OF_DATA:
            self._part = _Part.SIZE
        elif self._part is _Part.TRAILER:
            self.done = not line
        else:
            try:
                self._left = int(line.partition(b";")[0], 16)
            except ValueError:
                raise MalformedError(f"{line[:40]!r} is no size of a chunk") from None
            self._part = _Part.DATA if self._left else _Part.TRAILER


def body_of_request(head: Head) -> Body:
    """The body that follows the head of a request.

    Raises:
        MalformedError: its length is no number.
    """
    framed = _framed(head)
    return Body(0) if framed is None else framed


def body_of_answer(head: Head, method: str) -> Body:
    """The body that follows the head of an answer.

    Args:
        head: the head.
        method: the method of the request.

    Raises:
        MalformedError: its length is no number.
    """
    if head.status == 101 or (method == "CONNECT" and head.status < 300):
        return Body(None)  # from now on, the connection carries something else
    if method == "HEAD" or head.status < 200 or head.status in (204, 304):
        return Body(0)
    framed = _framed(head)
    return Body(None) if framed is None else framed


def _framed(head: Head) -> Body | None:
    """The body that the headers announce; None if they announce none."""
    coding, length = head["transfer-encoding"].lower(), head["content-length"]
    if coding.rpartition(",")[2].strip() == "chunked":
        return Body(0, chunked=True)
    if coding:
        return Body(None)
    if not length:
        return None
    if not (length.isascii() and length.isdecimal()):
        raise MalformedError(f"{length!r} is no length")
    return Body(int(length))
