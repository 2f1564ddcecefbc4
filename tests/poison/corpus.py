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


def _filled(piece: str, last: str = "1", *, size_bytes: int = MIB - 200) -> str:
    """An event with an array of so many bytes in a field that no column maps."""
    return _event(f', "x": [{piece * (size_bytes // len(piece))}{last}]')


def _gzip(content: bytes) -> str:
    return _base64(gzip.compress(content, mtime=0))


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _zip(levels: int) -> bytes:
    content = b"x" * 1000
    for level in range(levels):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr(f"{level}.zip", content)
        content = packed.getvalue()
    return content


def _array(piece: bytes, size_bytes: int) -> bytes:
    return b"[" + b",".join([piece] * (size_bytes // (len(piece) + 1))) + b"]"


def _sns(message: str) -> str:
    return json.dumps({"TopicArn": "arn:t", "Type": "Notification", "Message": message})


def _named(dataset: str) -> dict[str, Attribute]:
    return {"dataset": Attribute("String", dataset)}


def _deep(levels: int) -> str:
    return _event(f', "x": {"[" * levels}{"]" * levels}')


_BRIDGE = f'{{"detail-type": "x", "source": "y", "more": [{"1," * 500_000}1], "detail": {{}}}}'
_KEYS = "{" + ",".join(f'"{n:x}":0' for n in range(100_000)) + "}"


GOOD = Poison("a good record", _event(), loaded=[1])

BODIES = (
    Poison("invalid UTF-8 (in gzip)", _gzip(b'{"event_id": "\xff\xfe"}'), codes=["bad_encoding"]),
    Poison("UTF-16 (in gzip)", _gzip(_event().encode("utf-16")), codes=["bad_encoding"]),
    Poison("a NUL as \\u0000, in a mapped text", _event().replace('"e"', r'"e\u0000"'), codes=["bad_encoding"]),
    Poison("a NUL as \\u0000, unmapped", _event(r', "x": "a\u0000b"'), codes=["bad_encoding"]),
    Poison("a NUL as it is", _event(', "x": "a\0b"'), codes=["bad_json"]),
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
    Poison("an integer of a million digits", _event(amount="9" * 1_000_000), codes=["bad_type"]),
    Poison("an exponent of twenty digits", _event(amount=f"1e-{'9' * 20}"), codes=["bad_type"]),
    Poison("the same, unmapped", _event(f', "x": 1e-{"9" * 20}'), codes=["bad_type"]),
    Poison("2^64 in an integer column", _event(amount=str(2**64)), codes=["bad_type"]),
    Poison("2^64, unmapped", _event(f', "x": {2**64}'), loaded=[1]),
    Poison("a mapped key twice", _event(', "amount": 2'), codes=["bad_json"]),
    Poison("an unmapped key twice", _event(', "x": 1, "x": 2'), codes=["bad_json"]),
    Poison("100 levels", _deep(99), loaded=[1]),
    Poison("1,000 levels", _deep(1_000), codes=["too_deep"]),
    Poison("20,000 levels", _deep(20_000), codes=["too_deep"]),
    Poison("500,000 levels", _deep(500_000), codes=["too_deep"]),
    Poison("150,000 objects in objects", '{"a":' * 150_000 + "1" + "}" * 150_000, codes=["too_deep"]),
    Poison("brackets without end", "[" * MIB, codes=["bad_json"]),
    Poison(
        "lists in lists, a hundred levels, side by side",
        _filled("[" * 98 + "]" * 98 + ",", size_bytes=MIB // 2),
        codes=["too_long"],
    ),
    Poison("100,000 keys", _event("".join(f',"{n:x}":0' for n in range(99_997))), codes=["too_long"]),
    Poison("100,000 keys in a mapped field", _event(amount=_KEYS), codes=["bad_type"]),
    Poison("the same key 90,000 times", _event(',"x":0' * 90_000), codes=["bad_json"]),
    Poison("a mapped key 90,000 times", _event(',"amount":0' * 90_000), codes=["bad_json"]),
    Poison("500,000 elements in a field", _filled("1,"), codes=["too_long"]),
    Poison("350,000 empty objects in a field", _filled("{},"), codes=["too_long"]),
    Poison("350,000 empty texts in a field", _filled('"",'), codes=["too_long"]),
    Poison("200,000 numbers with exponents in a field", _filled("1e10,", "1e100"), codes=["too_long"]),
    Poison("50,000 numbers of 17 digits in a field", _filled("0.12345678901234567,"), codes=["too_long"]),
    Poison("350,000 empty records in an array", _array(b"{}", MIB).decode(), codes=["too_large"]),
    Poison("350,000 empty records in lines", "{}\n" * (MIB // 3), codes=["too_large"]),
    Poison("500,000 numbers in an array", _array(b"1", MIB - 2).decode(), codes=["too_large"]),
    Poison("500,000 numbers in lines", "1\n" * (MIB // 2), codes=["too_large"]),
    Poison("1,000 empty records", _array(b"{}", 3_000).decode(), codes=["missing_required"]),
    Poison("a body of 1 MiB of one text", _event(f', "x": "{"a" * (MIB - 78)}"'), codes=["too_long"]),
    Poison("the same, mapped", _event().replace('"e"', f'"{"e" * (MIB - 200)}"'), codes=["too_long"]),
    Poison("500,000 escapes in a text", _event(', "x": "' + r"\n" * (MIB // 2 - 100) + '"'), codes=["too_long"]),
    Poison("a key of 60,000 letters", _event(f', "{"k" * 60_000}": 1'), loaded=[1]),
    Poison("a key of 1,000,000 letters", _event(f', "{"k" * 1_000_000}": 1'), codes=["too_long"]),
    Poison("a gzip bomb", _gzip(b"[" + b" " * (80 * MIB) + b"]"), codes=["too_large"]),
    Poison("a gzip bomb of good records", _gzip(_array(_event().encode(), 20 * MIB)), codes=["too_large"]),
    Poison("a gzip bomb of 10,000,000 numbers", _gzip(_array(b"1", 20 * MIB)), codes=["too_large"]),
    Poison("a gzip bomb in gzip", _gzip(_gzip(b" " * (80 * MIB)).encode()), codes=["too_large"]),
    Poison("39,000 empty members of gzip", _base64(gzip.compress(b"", mtime=0) * 39_000), codes=["bad_json"]),
    Poison("gzip that is cut off", _gzip(_event().encode() * 100)[:60], codes=["bad_encoding"]),
    Poison("gzip that is none", "H4sI" + "A" * 40, codes=["bad_encoding"]),
    Poison("a zip of zips", _base64(_zip(5)), codes=["bad_json"]),
    Poison("wrapped by SNS", _sns(_event()), loaded=[1]),
    Poison("wrapped by SNS five times", _sns(_sns(_sns(_sns(_sns(_event()))))), codes=["bad_envelope"]),
    Poison("a million elements beside what EventBridge wraps", _BRIDGE, codes=["missing_required"]),
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

_ELEVEN = {f"a{n}": Attribute("String", "x") for n in range(10)}
_BINARY = Attribute("Binary", bytes(range(256)))
ATTRIBUTES = (
    Poison("a binary attribute", _event(), loaded=[1], attributes={**EVENTS, "trace": _BINARY}),
    Poison("the name of the dataset as bytes", _event(), codes=["unknown_dataset"], attributes={"dataset": _BINARY}),
    Poison("eleven attributes", _event(), loaded=[1], attributes={**EVENTS, **_ELEVEN}),
    Poison("eleven attributes, none of them a dataset", _event(), codes=["unknown_dataset"], attributes={
        **_ELEVEN, "trace": _BINARY,
    }),
    Poison("an attribute called `../dataset`", _event(), loaded=[1], attributes={
        **EVENTS, "../dataset": Attribute("String.x'\"", "'; DROP TABLE y; --\r\n"),
    }),
)  # fmt: skip

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


def _notice(*uris: str, zone: str = "raw") -> str:
    files = [{"uri": uri, "etag": "e", "content_length_bytes": 1, "rows": 1} for uri in uris]
    return json.dumps({**NOTICE, "zone": zone, "files": files})


_RAW_KEY = "events/dt=2026-01-01/hr=00/20260101T000000000Z-0000000000000000.parquet"
_S3_RECORD = {"s3": {"bucket": {"name": "other"}, "object": {"key": "k"}}}
NOTICES = tuple(
    Poison(f"on the refine queue: {name}", body, codes=[code], attributes={}, queue="refine")
    for name, body, code in (
        ("an S3 event about a foreign bucket", json.dumps({"Records": [_S3_RECORD]}), "bad_notice"),
        ("an S3 event of 5,000 records", json.dumps({"Records": [_S3_RECORD] * 5_000}), "bad_notice"),
        ("an S3 test event", json.dumps({"Event": "s3:TestEvent"}), "bad_notice"),
        ("a notice wrapped by SNS", _sns(_notice(f"s3://raw/{_RAW_KEY}")), "bad_notice"),
        ("a dead letter without its original", json.dumps({"acequia_dead_letter": 1}), "bad_notice"),
        ("no JSON", "hello", "bad_notice"),
        ("JSON without end", "[" * 100_000, "bad_notice"),
        ("an integer of 5,000 digits", f'{{"v": {"9" * 5_000}}}', "bad_notice"),
        ("a million numbers", "[" + "1," * 500_000 + "1]", "bad_notice"),
        ("a file of another bucket", _notice("s3://other/events/f.parquet"), "bad_notice"),
        ("a file by a crooked path", _notice("s3://raw/events/../../secret.parquet"), "bad_notice"),
        ("a file by an encoded path", _notice("s3://raw/events/%2e%2e/secret.parquet"), "bad_notice"),
        ("a file on the disk", _notice("file:///etc/passwd"), "bad_notice"),
        ("a file with quotes in its name", _notice("s3://raw/events/x'; DROP TABLE y; --.parquet"), "bad_notice"),
        ("a file with a lone surrogate in its name", _notice("s3://raw/events/\ud800.parquet"), "bad_notice"),
        ("5,000 files", _notice(*(f"s3://raw/{n}/{_RAW_KEY}" for n in range(5_000))), "bad_notice"),
        ("a file that is not there", _notice(f"s3://raw/{_RAW_KEY}"), "missing_object"),
    )
) + tuple(
    Poison(f"on the load queue: {name}", body, codes=["bad_notice"], attributes={}, queue="load")
    for name, body in (
        ("an S3 event about a foreign bucket", json.dumps({"Records": [_S3_RECORD]})),
        ("an S3 test event", json.dumps({"Event": "s3:TestEvent"})),
        ("no JSON", "hello"),
        ("a notice about the raw zone", _notice(f"s3://raw/{_RAW_KEY}")),
        ("a file of another bucket", _notice("s3://other/events/f.parquet", zone="refined")),
        ("a file by a crooked path", _notice("s3://refined/events/../../secret.parquet", zone="refined")),
    )
)

CORPUS = (GOOD, *BODIES, *ATTRIBUTES, *NAMES, *NOTICES)
