"""What becomes of a field's JSON text: the stored value, or the code of its rejection. Never another value."""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.core.datasets import Dataset
from service.core.errors import RejectedError
from service.core.model import Message
from service.land.encode import encode
from service.refine.compile import compile_dataset
from service.refine.execute import MEMORY_A_RECORD, Judged, Keys, judge

Define = Callable[..., Dataset]
JudgeBodies = Callable[..., Judged]
JudgeFields = Callable[..., object]
MEMORY_BYTES_MIN = 64 * 1024 * 1024
REST_OR_NOT = ['rest = "rest"', ""]


def column(kind: str, more: str = "", *, path: str = "x", name: str = "x") -> str:
    return f'[[column]]\nname = "{name}"\npath = "{path}"\ntype = "{kind}"\n{more}\n'


def record_id(keys: Keys, source: str) -> str:
    """What the SQL must compute."""
    return hmac.new(keys.identity, source.encode(), hashlib.sha256).hexdigest()[:32]


def a_time(year: int, month: int, day: int, hour: int = 0, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute)  # noqa: DTZ001 (stored without a zone: it is UTC)


@pytest.mark.parametrize("head", REST_OR_NOT)
@pytest.mark.parametrize(
    ("kind", "text", "stored"),
    [
        ("integer", "5", 5), ("integer", "-5", -5), ("integer", "5.0", 5), ("integer", "1e2", 100),
        ("integer", "-0", 0), ("integer", "null", None), ("integer", "2147483647", 2**31 - 1),
        ("integer", "-2147483648", -(2**31)), ("integer", "2147483648", "bad_type"), ("integer", "5.7", "bad_type"),
        ("integer", "0.5", "bad_type"), ("integer", "true", "bad_type"), ("integer", '"5"', "bad_type"),
        ("integer", "[5]", "bad_type"), ("integer", "{}", "bad_type"), ("integer", "1e400", "bad_type"),
        ("integer", "5.000000000000000000001", "bad_type"), ("integer", "0.99999999999999999999", "bad_type"),
        ("integer", "1e-400", "bad_type"),
        ("smallint", "32767", 2**15 - 1), ("smallint", "-32768", -(2**15)), ("smallint", "32768", "bad_type"),
        ("bigint", "9223372036854775807", 2**63 - 1), ("bigint", "-9223372036854775808", -(2**63)),
        ("bigint", "9223372036854775808", "bad_type"), ("bigint", "12345678901234567890123", "bad_type"),
        ("bigint", "123456789012345.0", 123456789012345), ("bigint", "1234567890123456.5", "bad_type"),
        ("boolean", "true", True), ("boolean", "false", False), ("boolean", "null", None),
        ("boolean", "1", "bad_type"), ("boolean", '"true"', "bad_type"),
        ("double", "1.5", 1.5), ("double", "1", 1.0), ("double", "0.1", 0.1), ("double", "5e-324", 5e-324),
        ("double", "9007199254740992", 2.0**53), ("double", "9007199254740993", "bad_type"),
        ("double", "12345678901234567890", "bad_type"), ("double", "18446744073709551616", 2.0**64),
        ("double", "0.12345678901234567890", "bad_type"), ("double", "1e400", "bad_type"),
        ("double", '"1"', "bad_type"), ("double", "true", "bad_type"), ("double", "null", None),
        ("decimal(5,1)", "123.4", Decimal("123.4")), ("decimal(5,1)", '"123.4"', Decimal("123.4")),
        ("decimal(5,1)", '"123.400"', Decimal("123.4")), ("decimal(5,1)", "1.5e1", Decimal("15.0")),
        ("decimal(5,1)", "9999.9", Decimal("9999.9")), ("decimal(5,1)", "123.456", "bad_type"),
        ("decimal(5,1)", '"123.45"', "bad_type"), ("decimal(5,1)", "10000", "bad_type"),
        ("decimal(5,1)", '"1e2"', "bad_type"), ("decimal(5,1)", '" 5"', "bad_type"),
        ("decimal(5,1)", '"+5"', "bad_type"), ("decimal(5,1)", '""', "bad_type"), ("decimal(5,1)", "true", "bad_type"),
        ("decimal(5,1)", '"NaN"', "bad_type"), ("decimal(5,1)", "null", None),
        ("decimal(5,0)", '"5.00"', Decimal(5)), ("decimal(5,0)", '"5.5"', "bad_type"),
        ("decimal(38,0)", "9" * 38, Decimal("9" * 38)), ("decimal(38,0)", "9" * 39, "bad_type"),
        ("decimal(38,0)", "18446744073709551616", Decimal(2**64)), ("decimal(38,0)", "1e22", Decimal(10**22)),
        ("decimal(38,30)", '"0.123456789012345678901234567890"', Decimal("0.123456789012345678901234567890")),
        ("date", '"2024-02-29"', date(2024, 2, 29)), ("date", '"0001-01-01"', date(1, 1, 1)),
        ("date", '"9999-12-31"', date(9999, 12, 31)), ("date", '"2023-02-29"', "bad_time"),
        ("date", '"2024-13-01"', "bad_time"), ("date", '"2024-1-1"', "bad_time"), ("date", "20240101", "bad_time"),
        ("date", '"2024-01-01T00:00:00Z"', "bad_time"), ("date", '""', "bad_time"), ("date", "null", None),
        ("date", '"0000-01-01"', "bad_time"),
        ("super", '{"b": [1, {"c":null}]}', '{"b":[1,{"c":null}]}'), ("super", '"text"', '"text"'),
        ("super", "null", None), ("super", "12345678901234567890123", "12345678901234567890123"),
        ("super", '"\\u0000"', "bad_encoding"), ("super", '"' + "a" * 65_533 + '"', '"' + "a" * 65_533 + '"'),
        ("super", '"' + "a" * 65_534 + '"', "too_long"), ("super", '"\\\\u0000"', '"\\\\u0000"'),
        ("varchar(4)", '"abcd"', "abcd"), ("varchar(4)", '"abcde"', "too_long"), ("varchar(4)", '"éé"', "éé"),
        ("varchar(4)", '"ééa"', "too_long"), ("varchar(4)", '"\\ud83d\\ude00"', "😀"), ("varchar(4)", '""', ""),
        ("varchar(4)", '"null"', "null"), ("varchar(4)", "null", None), ("varchar(4)", "5", "bad_type"),
        ("varchar(4)", "{}", "bad_type"), ("varchar(4)", '"a\\u0000"', "bad_encoding"),
        ("varchar(4)", '"\\"\\\\\\/\\b"', '"\\/\b'),
    ],
)  # fmt: skip
def test_a_field_is_stored_exactly_or_rejected(
    define: Define, judge_fields: JudgeFields, kind: str, text: str, stored: object, head: str
) -> None:
    found = judge_fields(define(column(kind), head=head), f'"x":{text}', "x")
    assert (found, type(found)) == (stored, type(stored))


@pytest.mark.parametrize(
    ("kind", "text", "stored"),
    [
        ("decimal(38,0)", "1e23", Decimal(10**23)),
        ("decimal(38,0)", "1.5e25", Decimal(15 * 10**24)),
        ("decimal(38,30)", "1e-7", Decimal("1e-7")),
    ],
)
def test_an_exponent_never_brings_in_the_digits_of_a_double(
    define: Define, judge_fields: JudgeFields, kind: str, text: str, stored: Decimal
) -> None:
    assert judge_fields(define(column(kind)), f'"x":{text}', "x") in (stored, "bad_type")


@pytest.mark.parametrize(
    ("text", "stored"),
    [
        ("2024-02-29T10:00:00Z", a_time(2024, 2, 29, 10)),
        ("2024-01-01 10:00:00+02", a_time(2024, 1, 1, 8)),
        ("2024-01-01T10:00:00+02:00", a_time(2024, 1, 1, 8)),
        ("2024-01-01T10:00:00+0230", a_time(2024, 1, 1, 7, 30)),
        ("2024-01-01T10:00:00-00:30", a_time(2024, 1, 1, 10, 30)),
        ("2024-01-01T23:30-09:30", a_time(2024, 1, 2, 9)),
        ("2024-01-01T10:00:00.123456Z", a_time(2024, 1, 1, 10).replace(microsecond=123456)),
        ("2024-01-01T10:00:00.1234560Z", a_time(2024, 1, 1, 10).replace(microsecond=123456)),
        ("2024-01-01T10:00:00.5+05:30", a_time(2024, 1, 1, 4, 30).replace(microsecond=500000)),
        ("1969-12-31T23:59:59.999999Z", a_time(1969, 12, 31, 23, 59).replace(second=59, microsecond=999999)),
        ("1500-01-01T00:00:00+01:00", a_time(1499, 12, 31, 23)),
        ("2024-01-01T10:00:00.1234567Z", "bad_time"),
        ("2023-02-29T10:00:00Z", "bad_time"),
        ("2024-13-01T00:00:00Z", "bad_time"),
        ("2024-01-00T00:00:00Z", "bad_time"),
        ("2024-01-01T25:00:00Z", "bad_time"),
        ("2024-01-01T23:59:60Z", "bad_time"),
        ("2024-01-01T23:60:00Z", "bad_time"),
        ("2024-01-01T10:00:00", "bad_time"),
        ("2024-01-01", "bad_time"),
        ("2024-01-01T10:00:00+2:00", "bad_time"),
        ("2024-01-01T10:00:00.Z", "bad_time"),
        ("2024-01-01t10:00:00z", "bad_time"),
        ("infinity", "bad_time"),
        ("", "bad_time"),
        ("2024-01-01T24:00:00Z", "bad_time"),
        ("2024-01-01T10:00:00+25:00", "bad_time"),
        ("2024-01-01T10:00:00+00:75", "bad_time"),
        ("2024-01-01T10:00:00+99:99", "bad_time"),
    ],
)
def test_a_time_is_kept_in_utc_or_rejected(
    define: Define, judge_fields: JudgeFields, text: str, stored: object
) -> None:
    assert judge_fields(define(column("timestamp")), f'"x":"{text}"', "x") == stored


@pytest.mark.parametrize("text", ["0000-01-01T00:00:00Z", "0001-01-01T00:00:00+05:00", "9999-12-31T23:59:59-05:00"])
def test_a_time_outside_the_years_1_to_9999_is_rejected(define: Define, judge_bodies: JudgeBodies, text: str) -> None:
    body = f'{{"id":"1","at":"2024-03-04T00:00:00Z","x":"{text}"}}'
    assert [r.fault.code for r in judge_bodies(define(column("timestamp")), [body]).rejections] == ["bad_time"]


@pytest.mark.parametrize("number", ["1704067200", "true", "{}", "[]"])
def test_a_time_is_text(define: Define, judge_fields: JudgeFields, number: str) -> None:
    assert judge_fields(define(column("timestamp")), f'"x":{number}', "x") == "bad_time"


@pytest.mark.parametrize(
    ("fields", "rest"),
    [
        ("", None),
        ('"p":"text"', '{"p":"text"}'),
        ('"p":5', '{"p":5}'),
        ('"p":null', '{"p":null}'),
        ('"p":[{"x":1}]', '{"p":[{"x":1}]}'),
        ('"p":{"x":1}', None),
        ('"p":{"x":1,"k":null}', '{"p":{"k":null}}'),
        ('"p":{"x":1,"q":{"z":1}}', None),
        ('"p":{"q":{"z":1,"w":2}}', '{"p":{"q":{"w":2}}}'),
        ('"p":{"q":"s"}', '{"p":{"q":"s"}}'),
        ('"P":{"x":1}', '{"P":{"x":1}}'),
        ('"p":{"X":1}', '{"p":{"X":1}}'),
        ('"Id":"2"', '{"Id":"2"}'),
        ('"k":{"x":1}', '{"k":{"x":1}}'),
        ('"k":null', '{"k":null}'),
        ('"k":{"n":null}', '{"k":{"n":null}}'),
        ('"k":{}', '{"k":{}}'),
        ('"p.x":1', '{"p.x":1}'),
        ('"k":12345678901234567890123', '{"k":12345678901234567890123}'),
        ('"k":18446744073709551616', '{"k":18446744073709551616}'),
        ('"k":0.30000000000000004', '{"k":0.30000000000000004}'),
        ('"k":"\\u00e9"', '{"k":"é"}'),
        ('"k":0.12345678901234567890', "bad_type"),
        ('"k":"\\u0000"', "bad_encoding"),
        ('"\\u0000":1', "bad_encoding"),
        ('"k":"' + "a" * 65_526 + '"', '{"k":"' + "a" * 65_526 + '"}'),
        ('"k":"' + "a" * 65_528 + '"', "too_long"),
        ('"p":{}', '{"p":{}}'),
        ('"k":"\\\\u0000"', '{"k":"\\\\u0000"}'),
    ],
)
def test_rest_is_what_no_column_maps_and_nothing_else(
    define: Define, judge_fields: JudgeFields, fields: str, rest: str | None
) -> None:
    dataset = define(column("integer", path="p.x") + column("integer", path="p.q.z", name="z"))
    assert judge_fields(dataset, fields, "rest") == rest


def test_a_grandparent_that_mapping_emptied_goes_too(define: Define, judge_fields: JudgeFields) -> None:
    assert judge_fields(define(column("integer", path="a.b.c")), '"a":{"b":{"c":1}}', "rest") is None


@pytest.mark.parametrize("fields", ['"x":1,"x":2', '"p":{"x":1},"p":{"x":2,"k":1}', '"id":"2"'])
def test_a_record_with_a_key_twice_loses_neither_in_silence(
    define: Define, judge_fields: JudgeFields, fields: str
) -> None:
    dataset = define(column("integer") + column("integer", path="p.x", name="y"))
    assert judge_fields(dataset, fields, "x") == "bad_json"


@pytest.mark.parametrize("text", ["", "1", "12345678", "ñandú 😀", "x" * 200])
@pytest.mark.parametrize("key", [b"m" * 32, b"m" * 64, b"m" * 65, bytes(range(200))])
def test_a_hashed_column_is_hmac_sha256_of_its_text(
    define: Define, judge_bodies: JudgeBodies, text: str, key: bytes
) -> None:
    dataset = define(column("varchar(400)", 'mask = "hash"'))
    body = f'{{"id":"1","at":"2024-03-04T00:00:00Z","x":"{text}"}}'
    judged = judge_bodies(dataset, [body], Keys(identity=b"i" * 32, mask=key))
    assert judged.good.column("x").to_pylist() == [hmac.new(key, text.encode(), hashlib.sha256).hexdigest()]


@pytest.mark.parametrize(
    ("mask", "text", "stored"),
    [
        ("redact", '"12345678"', "***"), ("redact", '""', "***"), ("redact", "null", None), ("redact", "5", "bad_type"),
        ("last4", '"12345678"', "****5678"), ("last4", '"1234567"', "****"), ("last4", '""', "****"),
        ("last4", '"abcdefgh😀é1ñ"', "****😀é1ñ"), ("last4", "null", None),
        ("hash", "null", None), ("hash", "5", "bad_type"), ("hash", '"' + "a" * 33 + '"', "too_long"),
        ("hash", '"\\u0000"', "bad_encoding"),
    ],
)  # fmt: skip
def test_a_mask_hides_the_text_and_checks_it_all_the_same(
    define: Define, judge_fields: JudgeFields, mask: str, text: str, stored: object
) -> None:
    assert judge_fields(define(column("varchar(32)", f'mask = "{mask}"')), f'"x":{text}', "x") == stored


def test_redacting_fits_the_column(define: Define, judge_fields: JudgeFields) -> None:
    assert judge_fields(define(column("varchar(2)", 'mask = "redact"')), '"x":"a"', "x") == "**"


@pytest.mark.parametrize(
    ("width", "text", "stored"),
    [
        (4, "abcd", "abcd"), (4, "abcde", "abcd"), (4, "ééé", "éé"), (4, "aééé", "aé"), (4, "a😀", "a"),
        (4, "😀a", "😀"), (4, "漢字", "漢"), (1, "é", ""), (1, "😀", ""), (3, "😀", ""),
    ],
)  # fmt: skip
def test_truncation_keeps_whole_characters(
    define: Define, judge_fields: JudgeFields, width: int, text: str, stored: str
) -> None:
    dataset = define(column(f"varchar({width})", 'too_long = "truncate"'))
    assert judge_fields(dataset, f'"x":"{text}"', "x") == stored


@pytest.mark.parametrize(
    ("identity", "source"),
    [
        ('key = ["id"]', "5:ab€"),
        ('key = ["id", "at"]', "5:ab€19:2024-03-04 01:00:00"),
        ('identity = "content"', '{"id": "ab€", "at":"2024-03-04T02:00:00+01:00"}'),
        ('identity = "message"', "m0:1"),
    ],
)
def test_the_record_id_is_a_keyed_hash_of_the_documented_text(
    define: Define, judge_bodies: JudgeBodies, keys: Keys, identity: str, source: str
) -> None:
    bodies = ['[5, {"id": "ab€", "at":"2024-03-04T02:00:00+01:00"}]']
    judged = judge_bodies(define(identity=identity), bodies)
    assert judged.good.column("_record_id").to_pylist() == [record_id(keys, source)]


def test_the_record_id_by_message_can_be_told_without_the_record(
    define: Define, judge_bodies: JudgeBodies, keys: Keys
) -> None:
    bodies = ['[{"id":"a","at":"2024-03-04T02:00:00Z"}, {"id":"b","at":"2024-03-04T02:00:00Z"}]']
    judged = judge_bodies(define(identity='identity = "message"'), bodies)
    assert judged.good.column("_record_id").to_pylist() == [keys.record_id("m0", 0), keys.record_id("m0", 1)]


def test_no_two_lists_of_key_values_read_the_same(define: Define, judge_bodies: JudgeBodies) -> None:
    dataset = define(column("varchar(8)", "required = true"), identity='key = ["id", "x"]')
    at = '"at":"2024-03-04T00:00:00Z"'
    judged = judge_bodies(dataset, [f'{{"id":"a","x":"bc",{at}}}', f'{{"id":"ab","x":"c",{at}}}'])
    assert len(set(judged.good.column("_record_id").to_pylist())) == 2


def test_the_record_id_is_made_before_masking(define: Define, judge_bodies: JudgeBodies, keys: Keys) -> None:
    dataset = define(column("varchar(8)", 'mask = "redact"\nrequired = true'), identity='key = ["x"]')
    judged = judge_bodies(dataset, ['{"id":"1","x":"abc","at":"2024-03-04T00:00:00Z"}'])
    assert judged.good.column("_record_id").to_pylist() == [record_id(keys, "3:abc")]


@pytest.mark.parametrize(
    ("at", "codes"),
    [
        ("2011-01-01T00:00:00Z", []), ("2010-12-31T23:59:59.999999Z", ["bad_time"]),
        ("2011-01-01T00:00:00+00:01", ["bad_time"]), ("2024-03-06T12:00:00Z", []),
        ("2024-03-06T12:00:00.000001Z", ["bad_time"]),
    ],
)  # fmt: skip
def test_event_time_lies_between_the_oldest_day_and_the_days_after_arrival(
    define: Define, judge_bodies: JudgeBodies, at: str, codes: list[str]
) -> None:
    narrow = replace(define(), event_time_oldest=date(2011, 1, 1), event_time_future_days_max=2)
    judged = judge_bodies(narrow, [f'{{"id":"1","at":"{at}"}}'])
    assert [rejection.fault.code for rejection in judged.rejections] == codes


@pytest.mark.parametrize("fields", ['"id":"1"', '"id":"1","at":null', '"at":"2024-03-04T00:00:00Z"'])
def test_a_required_field_that_is_missing_or_null_rejects_the_record(
    define: Define, judge_bodies: JudgeBodies, fields: str
) -> None:
    judged = judge_bodies(define(), [f"{{{fields}}}"])
    assert [rejection.fault.code for rejection in judged.rejections] == ["missing_required"]


def test_rejections_are_one_a_reason_with_all_their_places(define: Define, judge_bodies: JudgeBodies) -> None:
    good = '{"id":"1","at":"2024-03-04T00:00:00Z"}'
    bad, worse = '{"id":1,"at":"2024-03-04T00:00:00Z"}', '{"id":"1","at":"?"}'
    judged = judge_bodies(define(), [f"{good}\n{bad}\noops", bad, worse, "oops"])
    assert [(r.fault.code, r.fault.column, r.places) for r in judged.rejections] == [
        ("bad_type", "id", [(0, 1), (1, 0)]),
        ("bad_time", "at", [(2, 0)]),
        ("bad_json", None, [(0, 2), (3, 0)]),
    ]
    assert (judged.records, judged.good.num_rows) == (6, 1)


@pytest.mark.parametrize(
    "name", ["row", "index", "record", "message_id", "received_at", "r", "i", "v0", "j1", "select"]
)
def test_a_column_may_have_any_name(define: Define, judge_bodies: JudgeBodies, name: str) -> None:
    head = '"at":"2024-03-04T00:00:00Z"'
    bodies = [f'{{"id":"1",{head},"x":7}}', f'{{"id":"2",{head},"x":8,"k":0.12345678901234567890}}']
    judged = judge_bodies(define(column("integer", name=name)), bodies)
    assert judged.good.column(name).to_pylist() == [7]
    assert judged.good.column("_received_at").to_pylist() == [a_time(2024, 3, 4, 12)]
    assert [rejection.places for rejection in judged.rejections] == [[(1, 0)]]


@pytest.mark.parametrize("path", ["a b", "0", "#", "a[0]", "it's", "$", "ñ", "?", "a*"])
def test_a_path_is_taken_literally(define: Define, judge_fields: JudgeFields, path: str) -> None:
    dataset = define(column("integer", path=path))
    assert judge_fields(dataset, f'"{path}":1,"k":2', "x") == 1
    assert judge_fields(dataset, '"a":[3],"k":2', "x") is None
    assert judge_fields(dataset, f'"{path}":1,"k":2', "rest") == '{"k":2}'


def test_an_empty_raw_file_has_no_records(define: Define, judge_bodies: JudgeBodies) -> None:
    judged = judge_bodies(define(), [])
    assert (judged.records, judged.good.num_rows, judged.rejections) == (0, 0, [])


def parquet(**columns: pa.Array) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table(columns), sink)
    return bytes(sink.getvalue())


ID, RECEIVED = pa.array(["m"]), pa.array([0], pa.timestamp("us", tz="UTC"))
INVALID = pa.Array.from_buffers(pa.string(), 1, [None, pa.py_buffer(b"\0\0\0\0\1\0\0\0"), pa.py_buffer(b"\xff")])
WHOLE = parquet(message_id=ID, received_at=RECEIVED, body=pa.array(["{}"]))


def refusal(raw: bytes, dataset: Dataset, keys: Keys) -> str:
    with pytest.raises(RejectedError) as raised:
        judge(raw, "s3://raw/f", compile_dataset(dataset), keys, 2**28)
    return raised.value.code


@pytest.mark.parametrize(
    "raw", [b"", b"junk", WHOLE[:-9], b"PAR1" + WHOLE[4:-4] + b"PARX", parquet(message_id=ID, received_at=RECEIVED)]
)
def test_a_raw_file_that_is_none_of_ours_is_a_bad_file(define: Define, keys: Keys, raw: bytes) -> None:
    assert refusal(raw, define(), keys) == "bad_file"


@pytest.mark.parametrize(
    "odd",
    [
        {"body": pa.array([None], pa.string())},
        {"body": pa.array([1])},
        {"body": pa.array([b"{}"])},
        {"body": INVALID},
        {"received_at": pa.array(["soon"])},
        {"received_at": pa.array([None], pa.timestamp("us", tz="UTC"))},
        {"message_id": pa.array([None], pa.string())},
    ],
)
def test_a_raw_file_with_other_types_or_nulls_is_a_bad_file(
    define: Define, keys: Keys, odd: dict[str, pa.Array]
) -> None:
    columns = {"message_id": ID, "received_at": RECEIVED, "body": pa.array(["{}"])} | odd
    assert refusal(parquet(**columns), define(), keys) == "bad_file"


def test_what_is_wrong_with_a_column_is_told_before_a_long_number(define: Define, judge_bodies: JudgeBodies) -> None:
    at = '"at":"2024-03-04T00:00:00Z"'
    bodies = [f'{{"id":{given},{at},"k":1e400}}' for given in ("null", '"a"')]
    judged = judge_bodies(define(), [*bodies, f'{{"id":"b",{at}}}'])
    assert [(r.fault.code, r.fault.column, r.places) for r in judged.rejections] == [
        ("missing_required", "id", [(0, 0)]),
        ("bad_type", None, [(1, 0)]),
    ]
    assert judged.good.column("id").to_pylist() == ["b"]


def test_a_file_has_room_for_so_many_records_as_its_memory_holds(
    define: Define, message: Callable[..., Message], keys: Keys
) -> None:
    short = "[" + ",".join(['{"id":"1"}'] * 1_000) + "]"
    most = MEMORY_BYTES_MIN // MEMORY_A_RECORD
    bodies = [short] * (most // 1_000 + 1)
    raw = encode([message(body, f"m{number}") for number, body in enumerate([*bodies, '{"id":"2"}'])], "records")
    judged = judge(raw, "s3://raw/f", compile_dataset(define()), keys, MEMORY_BYTES_MIN)
    assert [(r.fault.code, len(r.places)) for r in judged.rejections] == [
        ("missing_required", most // 1_000 * 1_000 + 1),
        ("too_large", 1),
    ]
