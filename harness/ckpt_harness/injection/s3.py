"""The HTTP interface of S3: the site and the object of a request, and the answers of a store.

Requests name an object in the path (``/bucket/key``), as clients do for a store with a custom address.

Not modelled: buckets in the host name, and stores with another interface than S3's.
"""

from __future__ import annotations

import hashlib
import http
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree as ET

_NAMESPACE = "http://s3.amazonaws.com/doc/2006-03-01/"
_LISTING = {"list-type", "prefix", "delimiter", "marker", "max-keys", "versions"}


@dataclass(frozen=True)
class Request:
    """A request to a store.

    Attributes:
        method: the HTTP method.
        target: path and query.
        headers: header name, in lower case -> value.
        body: the whole body.

    Example:
        >>> request = Request("PUT", "/bucket/step-1/.metadata", {}, b"data")
        >>> request.site, request.key, request.name
        ('http.put', 'step-1/.metadata', '.metadata')
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def key(self) -> str:
        """The key of the object: the path after the bucket; "" for a request about a bucket."""
        return unquote(urlsplit(self.target).path).lstrip("/").partition("/")[2]

    @property
    def query(self) -> dict[str, list[str]]:
        """Parameter name -> values."""
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    @property
    def site(self) -> str | None:
        """The site of the request; None for a request that no checkpoint needs, such as the creation of a bucket."""
        key, query = self.key, self.query
        if self.method == "HEAD":
            return "http.head"
        if self.method == "GET":
            if key:
                return "http.get"
            return "http.list" if _LISTING.intersection(query) or not query else "http.head"
        if self.method == "PUT" and key:
            return "http.copy" if "x-amz-copy-source" in self.headers else "http.put"
        if self.lists_keys:
            return "http.delete"
        if self.method == "POST" and not {"uploads", "uploadId"}.isdisjoint(query):
            return "http.put"
        return "http.delete" if self.method == "DELETE" and key else None

    @property
    def lists_keys(self) -> bool:
        """Whether the body lists the objects that the request is about, as it does where several are deleted at once."""
        return self.method == "POST" and "delete" in self.query

    @property
    def name(self) -> str:
        """The last part of the key: of the object, of the prefix of a listing, or of the only key in a list of keys to delete; else ""."""
        keys = [self.key] if self.key else self.query.get("prefix", [])
        if not keys:
            keys = re.findall(r"<Key>([^<]*)</Key>", self.body.decode("utf-8", "replace"))
        return PurePosixPath(keys[0]).name if len(keys) == 1 else ""


@dataclass(frozen=True)
class Answer:
    """An answer of a store.

    Attributes:
        status: the HTTP status.
        headers: (name, value), in order.
        body: the whole body.
        length: the announced length of the body in bytes, where it differs from the real one: an answer to HEAD has no body, and an answer that is
            cut off ends early.
        reason: the store's own words for the status; "" for the usual words.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    length: int | None = None
    reason: str = ""

    @property
    def phrase(self) -> str:
        """The reason phrase of the status line.

        Example:
            >>> Answer(404).phrase
            'Not Found'
        """
        return self.reason or (http.HTTPStatus(self.status).phrase if self.status in _KNOWN else "")


@dataclass(frozen=True)
class _Xml:
    """An XML document of one level: the tag of its root, and the text of each element."""

    tag: str
    texts: Mapping[str, str] = field(default_factory=dict)

    def answer(self) -> Answer:
        root = ET.Element(self.tag, xmlns=_NAMESPACE)
        for tag, text in self.texts.items():
            ET.SubElement(root, tag).text = text
        return Answer(200, (("Content-Type", "application/xml"),), ET.tostring(root, encoding="utf-8", xml_declaration=True))


def refused(request: Request, status: int, code: str) -> Answer:
    """The answer of a store that refuses a request.

    Args:
        request: the request; an answer to HEAD has no body.
        status: the HTTP status.
        code: the error code of S3, such as ``SlowDown``.
    """
    phrase = http.HTTPStatus(status).phrase if status in _KNOWN else code
    root = ET.Element("Error")
    for tag, text in {"Code": code, "Message": f"{phrase} (injected)", "RequestId": "injected"}.items():
        ET.SubElement(root, tag).text = text
    body = b"" if request.method == "HEAD" else ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return Answer(status, (("Content-Type", "application/xml"),), body)


_KNOWN = {status.value for status in http.HTTPStatus}


def pretended(request: Request) -> Answer:
    """A success in answer to a put, a copy or a delete that the store never received."""
    etag = f'"{hashlib.md5(request.body, usedforsecurity=False).hexdigest()}"'
    if request.site == "http.copy":
        return _Xml("CopyObjectResult", {"ETag": etag, "LastModified": "2020-01-01T00:00:00.000Z"}).answer()
    if request.site == "http.delete":
        return _Xml("DeleteResult").answer() if request.method == "POST" else Answer(204)
    if request.method == "POST":
        texts = {"Bucket": "", "Key": request.key}
        if "uploads" in request.query:
            return _Xml("InitiateMultipartUploadResult", texts | {"UploadId": "none"}).answer()
        return _Xml("CompleteMultipartUploadResult", texts | {"ETag": etag}).answer()
    return Answer(200, (("ETag", etag),))


def as_if_nothing_were_there(request: Request, answer: Answer) -> Answer:
    """The answer to a read from before anything was written: "no such key", or a listing without entries."""
    if request.site != "http.list":
        return refused(request, 404, "NoSuchKey")
    root = ET.fromstring(answer.body)
    for entry in list(root):
        if entry.tag.rpartition("}")[2] in ("Contents", "CommonPrefixes", "Version"):
            root.remove(entry)
        elif entry.tag.rpartition("}")[2] == "KeyCount":
            entry.text = "0"
    ET.register_namespace("", _NAMESPACE)
    return Answer(answer.status, answer.headers, ET.tostring(root, encoding="utf-8", xml_declaration=True))
