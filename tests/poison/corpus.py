"""Hostile and broken input, each with the one outcome that is promised for it (`docs/poison.md` is made from this)."""

import base64
import gzip
import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from service.core.model import Attribute

EVENTS = {"dataset": Attribute("String", "events")}
MIB = 1024 * 1024


@dataclass(frozen=True)
class Poison:
    """One message. `loaded` are the values of `amount` that end in the table; `codes` what its dead letters say."""

    name: str
    body: str
    loaded: Sequence[int | None] = ()
    codes: Sequence[str] = ()
    attributes: Mapping[str, Attribute] = field(default_factory=lambda: EVENTS)
    queue: str = "records"


def _event(more: str = "", amount: str = "1") -> str:
    return f'{{"event_id": "e", "event_time": "2025-12-01T10:00:00Z", "amount": {amount}{more}}}'


def _gzip(content: bytes) -> str:
    return base64.b64encode(gzip.compress(content, mtime=0)).decode()


def _zip(levels: int) -> bytes:
    content = b"x" * 1000
    for level in range(levels):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{level}.zip", content)
        content = packed.getvalue()
    return content


def _named(dataset: str) -> dict[str, Attribute]:
    return {"dataset": Attribute("String", dataset)}


def _deep(levels: int) -> str:
    return _event(f', "x": {"[" * levels}{"]" * levels}')


GOOD = Poison("a good record", _event(), loaded=[1])

BODIES = (
    Poison("invalid UTF-8 (in gzip)", _gzip(b'{"event_id": "\xff\xfe"}'), codes=["bad_encoding"]),
    Poison("UTF-16 (in gzip)", _gzip(_event().encode("utf-16")), codes=["bad_encoding"]),
    Poison("a NUL as \\u0000, in a mapped text", _event().replace('"e"', r'"e\u0000"'), codes=["bad_encoding"]),
    Poison("a NUL as \\u0000, unmapped", _event(r', "x": "a\u0000b"'), codes=["bad_encoding"]),
    Poison("a lone surrogate", _event(r', "x": "\ud800"'), codes=["bad_json"]),
    Poison("a byte order mark", "\ufeff" + _event(), codes=["bad_json"]),
    Poison("nothing", " ", codes=["bad_json"]),
    Poison("null", "null", codes=["bad_json"]),
    Poison("a number", "5", codes=["bad_json"]),
    Poison("a text", '"text"', codes=["bad_json"]),
    Poison("an array of numbers", "[1, 2]", codes=["bad_json"]),
    Poison("an empty array", "[]"),
    Poison("an empty object", "{}", codes=["missing_required"]),
    Poison("no JSON", "event_id=e&amount=1", codes=["bad_json"]),
    Poison("NaN", _event(amount="NaN"), codes=["bad_json"]),
    Poison("Infinity, unmapped", _event(', "x": -Infinity'), codes=["bad_json"]),
    Poison("a trailing comma", _event(", "), codes=["bad_json"]),
    Poison("a number that no double holds", _event(amount="1e400"), codes=["bad_type"]),
    Poison("the same, unmapped", _event(', "x": 1e400'), codes=["bad_type"]),
    Poison("an integer of 5,000 digits", _event(amount="9" * 5_000), codes=["bad_type"]),
    Poison("the same, unmapped", _event(f', "x": {"9" * 5_000}'), codes=["bad_type"]),
    Poison("2^64 in an integer column", _event(amount=str(2**64)), codes=["bad_type"]),
    Poison("2^64, unmapped", _event(f', "x": {2**64}'), loaded=[1]),
    Poison("a mapped key twice", _event(', "amount": 2'), codes=["bad_json"]),
    Poison("an unmapped key twice", _event(', "x": 1, "x": 2'), codes=["bad_json"]),
    Poison("100 levels", _deep(99), loaded=[1]),
    Poison("1,000 levels", _deep(1_000), codes=["too_deep"]),
    Poison("20,000 levels", _deep(20_000), codes=["too_deep"]),
    Poison("500,000 levels", _deep(500_000), codes=["too_deep"]),
    Poison("500,000 objects in objects", '{"a":' * 150_000 + "1" + "}" * 150_000, codes=["too_deep"]),
    Poison("brackets without end", "[" * MIB, codes=["bad_json"]),
    Poison("70,000 keys", _event("".join(f', "k{n}": {n % 9}' for n in range(70_000))), codes=["too_long"]),
    Poison("a text of 1 MiB", _event(f', "x": "{"a" * (MIB - 200)}"'), codes=["too_long"]),
    Poison("a key of 60,000 letters", _event(f', "{"k" * 60_000}": 1'), loaded=[1]),
    Poison("a gzip bomb", _gzip(b"[" + b" " * (80 * MIB) + b"]"), codes=["too_large"]),
    Poison("gzip that is cut off", _gzip(_event().encode() * 100)[:60], codes=["bad_encoding"]),
    Poison("gzip that is none", "H4sI" + "A" * 40, codes=["bad_encoding"]),
    Poison("a zip of zips", base64.b64encode(_zip(5)).decode(), codes=["bad_json"]),
    Poison(
        "wrapped by SNS", json.dumps({"TopicArn": "arn:t", "Type": "Notification", "Message": _event()}), loaded=[1]
    ),
    Poison(
        "wrapped by SNS without a message",
        json.dumps({"TopicArn": "arn:t", "Type": "Notification"}),
        codes=["missing_required"],
    ),
    Poison(
        "an S3 test event",
        json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "other"}),
        codes=["missing_required"],
    ),
    Poison("line breaks for the log", _event(r', "x": "a\r\nlevel=error"'), loaded=[1]),
    Poison("SQL in a value", _event(""", "x": "'; DROP TABLE lake.events; --" """), loaded=[1]),
)

NAMES = tuple(
    Poison(f"a dataset called `{shown or name}`", _event(), codes=["unknown_dataset"], attributes=_named(name))
    for name, shown in (
        ("../events", ""),
        ("events/../../other", ""),
        ("a//b", ""),
        ("%2e%2e/", ""),
        ("/etc/passwd", ""),
        ("s3://other/events", ""),
        ("EVENTS", ""),
        ("\u0435vents", "events, with a Cyrillic letter"),
        ("events\u200b", "events, with a space of no width"),
        ('x"; DROP TABLE y;--', ""),
        ("events'--", ""),
        ("select", ""),
        ("n" * 1_025, "1,025 letters"),
        ("events\r\nlevel=error", "a line break"),
        ("_raw_file", ""),
    )
)

NOTICE = {
    "v": 1, "dataset": "events", "zone": "raw", "columns": [], "batch_id": "b", "definition": "",
    "produced_at": "2026-01-01T00:00:00+00:00", "replaces": None,
}  # fmt: skip


def _notice(uri: str) -> str:
    file = {"uri": uri, "etag": "e", "content_length_bytes": 1, "rows": 1}
    return json.dumps({**NOTICE, "files": [file]})


_S3_RECORD = {"s3": {"bucket": {"name": "other"}, "object": {"key": "k"}}}
NOTICES = tuple(
    Poison(f"on the refine queue: {name}", body, codes=[code], attributes={}, queue="refine")
    for name, body, code in (
        ("an S3 event about a foreign bucket", json.dumps({"Records": [_S3_RECORD]}), "bad_notice"),
        ("an S3 event of 5,000 records", json.dumps({"Records": [_S3_RECORD] * 5_000}), "bad_notice"),
        ("an S3 test event", json.dumps({"Event": "s3:TestEvent"}), "bad_notice"),
        ("no JSON", "hello", "bad_notice"),
        ("JSON without end", "[" * 100_000, "bad_notice"),
        ("a file of another bucket", _notice("s3://other/events/f.parquet"), "bad_notice"),
        ("a file by a crooked path", _notice("s3://raw/events/../../secret.parquet"), "bad_notice"),
        ("a file on the disk", _notice("file:///etc/passwd"), "bad_notice"),
        (
            "a file that is not there",
            _notice("s3://raw/events/dt=2026-01-01/hr=00/20260101T000000000Z-0000000000000000.parquet"),
            "missing_object",
        ),
    )
)

CORPUS = (GOOD, *BODIES, *NAMES, *NOTICES)
