"""The HTTP interface of S3: the site and the object of a request, and the answers."""

from __future__ import annotations

from xml.etree import ElementTree as ET

import pytest

from ckpt_harness.injection.s3 import Answer, Request, as_if_nothing_were_there, pretended, refused

REQUESTS = [
    (Request("PUT", "/bucket/run/step-1/__0_0.distcp", {}), "http.put", "__0_0.distcp"),
    (Request("PUT", "/bucket/run/a%20b?partNumber=2&uploadId=x", {}), "http.put", "a b"),
    (Request("POST", "/bucket/run/big?uploads", {}), "http.put", "big"),
    (Request("POST", "/bucket/run/big?uploadId=x", {}), "http.put", "big"),
    (Request("PUT", "/bucket/run/.metadata", {"x-amz-copy-source": "/bucket/run/.metadata.tmp"}), "http.copy", ".metadata"),
    (Request("GET", "/bucket/run/.metadata", {}), "http.get", ".metadata"),
    (Request("HEAD", "/bucket/run/.metadata", {}), "http.head", ".metadata"),
    (Request("HEAD", "/bucket", {}), "http.head", ""),
    (Request("GET", "/bucket?list-type=2&prefix=run/step-1/", {}), "http.list", "step-1"),
    (Request("GET", "/bucket", {}), "http.list", ""),
    (Request("GET", "/bucket?location", {}), "http.head", ""),
    (Request("DELETE", "/bucket/run/.metadata.tmp", {}), "http.delete", ".metadata.tmp"),
    (Request("POST", "/bucket?delete", {}, b"<Delete><Object><Key>run/old</Key></Object></Delete>"), "http.delete", "old"),
    (Request("POST", "/bucket?delete", {}, b"<Key>a</Key><Key>b</Key>"), "http.delete", ""),
    (Request("PUT", "/bucket", {}), None, ""),
]
LISTING = b"<ListBucketResult><KeyCount>2</KeyCount><Contents><Key>a</Key></Contents><CommonPrefixes/></ListBucketResult>"


@pytest.mark.parametrize(("request_", "site", "name"), REQUESTS)
def test_a_request_has_a_site_and_an_object(request_: Request, site: str | None, name: str) -> None:
    """The object is named by the last part of its key."""
    assert (request_.site, request_.name) == (site, name)


def test_a_refusal_has_the_form_of_s3() -> None:
    """The body contains the code; an answer to HEAD has no body."""
    assert ET.fromstring(refused(Request("GET", "/b/k", {}), 503, "SlowDown").body).findtext("Code") == "SlowDown"
    assert refused(Request("HEAD", "/b/k", {}), 404, "NoSuchKey").body == b""


def test_a_pretended_success_has_the_form_of_a_real_success() -> None:
    """With the checksum of the body, or the XML document that the client reads."""
    assert pretended(Request("PUT", "/b/k", {}, b"hello")).headers == (("ETag", '"5d41402abc4b2a76b9719d911017c592"'),)
    assert pretended(Request("DELETE", "/b/k", {})).status == 204
    for request, tag in [
        (Request("PUT", "/b/k", {"x-amz-copy-source": "/b/o"}), "CopyObjectResult"),
        (Request("POST", "/b?delete", {}), "DeleteResult"),
        (Request("POST", "/b/k?uploads", {}), "InitiateMultipartUploadResult"),
        (Request("POST", "/b/k?uploadId=x", {}), "CompleteMultipartUploadResult"),
    ]:
        assert ET.fromstring(pretended(request).body).tag.endswith(tag)


def test_a_stale_answer_shows_no_object() -> None:
    """A well-formed empty listing; 404."""
    listed = ET.fromstring(as_if_nothing_were_there(Request("GET", "/b?list-type=2", {}), Answer(200, (), LISTING)).body)
    assert [(element.tag, element.text) for element in listed] == [("KeyCount", "0")]
    assert as_if_nothing_were_there(Request("GET", "/b/k", {}), Answer(200, (), b"x")).status == 404
