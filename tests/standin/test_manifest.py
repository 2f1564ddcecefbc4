"""Reading a manifest."""

import json
from typing import Any

import pytest

from service.local.redshift.manifest import Entry, read_manifest
from service.local.redshift.objects import Location
from service.local.redshift.refusals import ScanError


def manifest(*entries: Any) -> bytes:
    return json.dumps({"entries": entries, "meta": {"schema": "extra keys are accepted"}}).encode()


def test_entries_come_in_order_and_are_optional_by_default() -> None:
    content = manifest(
        {"url": "s3://b/x/1=2.parquet", "meta": {"content_length": 5, "record_count": 1}},
        {"url": "s3://c/y", "mandatory": True, "meta": {"content_length": 0}},
    )
    assert read_manifest(content) == [
        Entry(Location("b", "x/1=2.parquet"), size_bytes=5, mandatory=False),
        Entry(Location("c", "y"), size_bytes=0, mandatory=True),
    ]


def test_a_missing_meta_has_redshifts_text() -> None:
    with pytest.raises(ScanError) as raised:
        read_manifest(manifest({"url": "s3://b/k", "mandatory": True}))
    assert (raised.value.code, raised.value.message) == (15003, "File entry does not have 'meta' key.")


@pytest.mark.parametrize(
    "content",
    [b"", b"[]", b"\xff", b"{}", manifest(), manifest("s3://b/k"), manifest({"url": "/etc/passwd", "meta": {}}),
     manifest({"url": "s3://b/k", "meta": {}}), manifest({"url": "s3://b/k", "meta": {"content_length": "5"}}),
     manifest({"url": "s3://b/k", "meta": {"content_length": 5}, "mandatory": "yes"})],
)  # fmt: skip
def test_anything_else_is_refused(content: bytes) -> None:
    with pytest.raises(ScanError):
        read_manifest(content)
