"""Result rows as Redshift sends them, message by message."""

import struct

import pytest

from service.local.redshift.results import NUMERIC, SUPER, Results, compact_json, described
from service.local.redshift.wire import Message


def description(*columns: tuple[bytes, int, int]) -> Message:
    fields = [name + b"\0" + struct.pack("!IhIhih", 0, 0, kind, -1, modifier, 0) for name, kind, modifier in columns]
    return Message.of(b"T", struct.pack("!h", len(fields)) + b"".join(fields))


def row(*values: bytes) -> Message:
    return Message.of(b"D", struct.pack("!h", len(values)) + b"".join(struct.pack("!i", len(v)) + v for v in values))


def test_super_has_redshifts_type_modifier() -> None:
    fields, shown = described(description((b"a", 23, -1), (b"s", SUPER, -1)))
    assert [field.modifier for field in fields] == [-1, 16384000]
    assert described(shown)[0] == fields


@pytest.mark.parametrize(
    ("spaced", "compact"),
    [
        (b'{"a": [1, 2], "b": {}}', b'{"a":[1,2],"b":{}}'),
        (b'{"a: b": "x, y: \\" , z"}', b'{"a: b":"x, y: \\" , z"}'),
        (b'"plain, text"', b'"plain, text"'),
    ],
)
def test_json_loses_its_blanks_outside_of_strings(spaced: bytes, compact: bytes) -> None:
    assert compact_json(spaced) == compact


def test_rows_of_a_simple_query_are_changed_only_where_a_column_is_super() -> None:
    results = Results()
    results.sent(Message.of(b"Q", b"SELECT 1\0"))
    results.shown(description((b"s", SUPER, -1), (b"t", 25, -1), (b"n", NUMERIC, -1)))
    assert results.shown(row(b"[1, 2]", b"[1, 2]", b"1.5")) == row(b"[1,2]", b"[1, 2]", b"1.5")


def test_after_an_error_the_next_answers_belong_to_the_next_messages() -> None:
    results = Results()
    for kind, body in ((b"P", b"a\0SELECT\0\0\0"), (b"D", b"Sa\0"), (b"E", b"\0\0\0\0\0"), (b"S", b"")):
        results.sent(Message.of(kind, body))
    results.shown(Message.of(b"E", b"\0"))
    results.shown(Message.of(b"Z", b"I"))
    results.sent(Message.of(b"Q", b"SELECT\0"))
    results.shown(description((b"s", SUPER, -1)))
    assert results.shown(row(b"[1, 2]")) == row(b"[1,2]")
