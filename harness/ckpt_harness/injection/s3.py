"""The S3 dialect of HTTP: which site a request is, about which object, and what a store answers to it.

Objects are addressed in the path (``/bucket/key``), as clients do for stores that are given by an address.

Not modelled: buckets in the host name, and the dialects of other stores than S3 and those that speak like it.
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
    """A request.

    Attributes:
        method: of HTTP.
        target: path and query.
        headers: with names in lower case.
        body: all of it.
    """

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def key(self) -> str:
        """What follows the bucket in the path."""
        return unquote(urlsplit(self.target).path).lstrip("/").partition("/")[2]

    @property
    def query(self) -> dict[str, list[str]]:
        """The query's values by name."""
        return parse_qs(urlsplit(self.target).query, keep_blank_values=True)

    @property
    def site(self) -> str | None:
        """The site that it is; None for what no checkpoint asks, such as to make a bucket."""
        key, query = self.key, self.query
        if self.method == "HEAD":
            return "http.head"
        if self.method == "GET":
            return "http.get" if key else "http.list" if _LISTING.intersection(query) or not query else "http.head"
        if self.method == "PUT" and key:
            return "http.copy" if "x-amz-copy-source" in self.headers else "http.put"
        if self.method == "POST" and "delete" in query:
            return "http.delete"
        if self.method == "POST" and not {"uploads", "uploadId"}.isdisjoint(query):
            return "http.put"
        return "http.delete" if self.method == "DELETE" and key else None

    @property
    def name(self) -> str:
        """The last part of the key that it is about, of the prefix of a listing, or of the one key of many to delete."""
        about = [self.key] if self.key else self.query.get("prefix", []) or re.findall(r"<Key>([^<]*)</Key>", self.body.decode("utf-8", "replace"))
        return PurePosixPath(about[0]).name if len(about) == 1 else ""


@dataclass(frozen=True)
class Answer:
    """What a store answers.

    Attributes:
        status: of HTTP.
        headers: in order.
        body: all of it.
        length: of the body that is announced, where that is another: an answer to HEAD has none, one that is cut off ends early.
    """

    status: int
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""
    length: int | None = None


@dataclass(frozen=True)
class _Xml:
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
        request: which; an answer to HEAD has no body.
        status: of HTTP.
        code: the error's name.
    """
    root = ET.Element("Error")
    for tag, text in {"Code": code, "Message": f"{http.HTTPStatus(status).phrase if status in _KNOWN else code} (injected)", "RequestId": "injected"}.items():
        ET.SubElement(root, tag).text = text
    body = b"" if request.method == "HEAD" else ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return Answer(status, (("Content-Type", "application/xml"),), body)


_KNOWN = {one.value for one in http.HTTPStatus}


def pretended(request: Request) -> Answer:
    """The answer of a store that says yes to a put, a copy or a delete, and did nothing."""
    etag = f'"{hashlib.md5(request.body, usedforsecurity=False).hexdigest()}"'
    if request.site == "http.copy":
        return _Xml("CopyObjectResult", {"ETag": etag, "LastModified": "2020-01-01T00:00:00.000Z"}).answer()
    if request.site == "http.delete":
        return _Xml("DeleteResult").answer() if request.method == "POST" else Answer(204)
    if request.method == "POST":
        about = {"Bucket": "", "Key": request.key}
        begins = "uploads" in request.query
        tag = "InitiateMultipartUploadResult" if begins else "CompleteMultipartUploadResult"
        return _Xml(tag, about | ({"UploadId": "none"} if begins else {"ETag": etag})).answer()
    return Answer(200, (("ETag", etag),))


def as_if_nothing_were_there(request: Request, answer: Answer) -> Answer:
    """The answer to a read as it was before anything was written: nothing of that name, a listing without entries."""
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
