"""Bodies that were made to break a reader, and notices and names that reach for other places."""

import base64
import gzip
import json
from dataclasses import dataclass

from tests.faults.line import Line

FOREIGN_NAMES = (
    "../",
    "a//b",
    "%2e%2e/",
    "/absolute",
    "s3://other/",
    "n" * 1_025,
    'x"; DROP TABLE y;--',
    "loan_events; DELETE FROM lake.loan_events",
    "lo\u0430n_events",
    "select",
    "pg_catalog.pg_class",
    'loan\r\n{"event": "forged"}',
)
"""Names of datasets, of which none is ours."""


@dataclass(frozen=True)
class Poison:
    """A body, and the code that rejects it; None where it is a record after all."""

    name: str
    body: str
    code: str | None

    @property
    def event_id(self) -> str:
        """Its id, where it is a record."""
        return str(json.loads(self.body)["event_id"])


def packed(raw: bytes) -> str:
    """As a producer sends what is no text."""
    return base64.b64encode(gzip.compress(raw)).decode()


def poisons(good: str) -> list[Poison]:
    """Each by itself in a message; those that are records carry an event id of their own."""
    event = json.loads(good)

    def with_field(name: str, value: str) -> str:
        own = json.dumps({**event, "event_id": f"poison-{name}"})
        return f'{own[:-1]}, "poison": {value}}}'

    deep = {depth: "[" * depth + "]" * depth for depth in (1_000, 20_000, 400_000)}
    return [
        Poison("blank", " ", "bad_json"),
        Poison("null", "null", "bad_json"),
        Poison("scalar", "17", "bad_json"),
        Poison("text", '"text"', "bad_json"),
        Poison("empty object", "{}", "missing_required"),
        Poison("byte order mark", "\ufeff" + with_field("bom", "1"), "bad_json"),
        Poison("not a number", with_field("nan", "NaN"), "bad_json"),
        Poison("infinity", with_field("infinity", "Infinity"), "bad_json"),
        Poison("1e400", with_field("1e400", "1e400"), "bad_type"),
        Poison("10^5000", with_field("10-5000", "1" + "0" * 5_000), "bad_type"),
        Poison("2^64", with_field("2-64", str(2**64)), None),
        Poison("a key twice", with_field("twice", '1, "poison": 2'), "bad_json"),
        Poison("a zero character", with_field("zero", r'"\u0000"'), "bad_encoding"),
        Poison("a lone surrogate", with_field("surrogate", r'"\ud800"'), "bad_json"),
        *(Poison(f"{depth} deep", with_field(f"deep-{depth}", text), "too_deep") for depth, text in deep.items()),
        Poison("60,000 keys", with_field("keys", json.dumps({f"k{n}": n for n in range(60_000)})), "too_long"),
        Poison("a long text", with_field("long", '"' + "l" * 800_000 + '"'), "too_long"),
        Poison("a long key", with_field("key", '{"' + "k" * 800_000 + '": 1}'), "too_long"),
        Poison("no UTF-8", packed(b'{"event_id": "\xff\xfe"}'), "bad_encoding"),
        Poison("UTF-16", packed(good.encode("utf-16")), "bad_encoding"),
        Poison("a bomb", packed(b"0" * 300_000_000), "too_large"),
        Poison("zip of zips", packed(gzip.compress(gzip.compress(good.encode()))), "bad_encoding"),
        Poison("broken gzip", packed(good.encode())[:-40], "bad_encoding"),
    ]


def foreign_notices(line: Line) -> list[str]:
    """What nobody of ours would write to the refine or load queue."""
    raw, refined = line.zone("raw"), line.zone("refined")
    day = "dt=2012-01-01/hr=00/20120101T000000000Z-0123456789abcdef.parquet"
    uris = [
        f"s3://somebody-elses-bucket/{line.dataset}/{day}",
        f"{raw}/../other/{line.dataset}/{day}",
        f"{raw}-other/{line.dataset}/{day}",
        f"{refined}/{line.dataset}/%2e%2e/{day}",
        f"{raw}/{line.dataset}/" + "k" * 1_025,
        f"{raw}/{line.dataset}/dt=2012-01-01/x'; DROP TABLE lake.y; --.parquet",
        f"https://127.0.0.1/{line.dataset}/{day}",
        "",
    ]
    notices = [_notice(line, zone, [uri]) for uri in uris for zone in ("raw", "refined")]
    s3 = {"s3": {"bucket": {"name": "somebody-elses-bucket"}, "object": {"key": "a/b.parquet"}}}
    event = {"eventSource": "aws:s3", "awsRegion": "us-east-1", **s3}
    wrapped = {"Type": "Notification", "Message": _notice(line, "raw", uris[:1])}
    return [
        *notices,
        _notice(line, "raw", [f"s3://somebody-elses-bucket/{n}" for n in range(5_000)]),
        json.dumps({"Records": [event]}),
        json.dumps({"Service": "Amazon S3", "Event": "s3:TestEvent", "Bucket": "somebody-elses-bucket"}),
        json.dumps(wrapped),
        "no notice",
    ]


def _notice(line: Line, zone: str, uris: list[str]) -> str:
    files = [{"uri": uri, "etag": "e", "content_length_bytes": 1, "rows": 1} for uri in uris]
    facts = {"batch_id": "b", "definition": "d", "produced_at": "2026-01-01T00:00:00+00:00", "replaces": None}
    columns = [['x"; DROP TABLE lake.y; --', "varchar(16)"]]
    return json.dumps({"v": 1, "dataset": line.dataset, "zone": zone, "files": files, "columns": columns, **facts})
