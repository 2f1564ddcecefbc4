"""Every form of a body, and what each costs when it is wrong."""

import base64
import gzip
import json
import time

import pytest

from service.core.errors import Code
from service.refine.open import DEPTH_MAX, RECORD_BYTES_MIN, RECORDS_FREE, Opened, open_bodies

BOMB_SECONDS_MAX = 5.0


def packed(*members: str) -> str:
    return base64.b64encode(b"".join(gzip.compress(member.encode()) for member in members)).decode()


def sns(body: str) -> str:
    return json.dumps({"Type": "Notification", "TopicArn": "arn:aws:sns:x", "Message": body}, ensure_ascii=False)


def bridge(detail: str) -> str:
    return f'{{"version":"0","detail-type":"step","source":"desk","detail":{detail}}}'


def letter(body: str) -> str:
    return json.dumps({"acequia_dead_letter": 1, "code": "bad_type", "original": {"body": body}})


def nested(depth: int) -> str:
    return '{"a":' * depth + "1" + "}" * depth


def wrong(opened: Opened) -> list[tuple[int, Code]]:
    return [(index, code) for _, index, code in opened.wrong]


@pytest.mark.parametrize(
    ("body", "records"),
    [
        ('{"a":1}', ['{"a":1}']),
        (' \r\n{"a":1}\t\n', ['{"a":1}']),
        ('{\n  "a": 1.50\n}', ['{\n  "a": 1.50\n}']),
        ('[{"a": 1.50 },{ "b":1e2}]', ['{"a": 1.50 }', '{ "b":1e2}']),
        ('[\n  {"a":1},\n  {"b":2}\n]', ['{"a":1}', '{"b":2}']),
        ("[]", []),
        ('{"a":1}\n{"b":2}', ['{"a":1}', '{"b":2}']),
        ('{"a":1}\r\n{"b":2}\r\n', ['{"a":1}', '{"b":2}']),
        ('{"a":1}\n\n \t\n{"b":2}', ['{"a":1}', '{"b":2}']),
        ('{"a":"\u2028\x85"}\n{"b":2}', ['{"a":"\u2028\x85"}', '{"b":2}']),
        ('{"a":1,"a":2}', ['{"a":1,"a":2}']),
        (packed('{"a":1}\n{"b":2}'), ['{"a":1}', '{"b":2}']),
        (sns('{"a": 1.50}'), ['{"a": 1.50}']),
        (sns('[{"a":1},{"b":2}]'), ['{"a":1}', '{"b":2}']),
        (sns(packed('{"a":1}')), ['{"a":1}']),
        (bridge('{"a": 1.50, "b": 12345678901234567890123}'), ['{"a": 1.50, "b": 12345678901234567890123}']),
        (letter('{"a": 1.50}'), ['{"a": 1.50}']),
        (letter(sns(bridge('{"a":1}'))), ['{"a":1}']),
        (packed(sns('{"a":1}')), ['{"a":1}']),
        (
            '{"Type":"Subscription","TopicArn":"a","Message":"m"}',
            ['{"Type":"Subscription","TopicArn":"a","Message":"m"}'],
        ),
        ('{"detail-type":"a","source":"b","detail":[1]}', ['{"detail-type":"a","source":"b","detail":[1]}']),
        ('{"acequia_dead_letter":1,"original":{}}', ['{"acequia_dead_letter":1,"original":{}}']),
        ('{"TopicArn":1,' + bridge('{"a":1}')[1:], ['{"a":1}']),
        ('[{"detail-type":"a"}]', ['{"detail-type":"a"}']),
        ('{"detail-type":"mine"}', ['{"detail-type":"mine"}']),
        ('{"note":"\\"TopicArn\\""}', ['{"note":"\\"TopicArn\\""}']),
        (nested(DEPTH_MAX), [nested(DEPTH_MAX)]),
        ('{"a":"' + "[{" * 500 + '"}', ['{"a":"' + "[{" * 500 + '"}']),
        ('{"a":[' + "{}," * 500 + "{}]}", ['{"a":[' + "{}," * 500 + "{}]}"]),
    ],
)
def test_a_body_opens_into_the_exact_text_of_its_records(body: str, records: list[str]) -> None:
    opened = open_bodies([body])
    assert opened.records == records
    assert opened.indexes == list(range(len(records)))
    assert not opened.wrong


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ("", "bad_json"),
        (" \n", "bad_json"),
        ("5", "bad_json"),
        ("null", "bad_json"),
        ('"text"', "bad_json"),
        ("nonsense", "bad_json"),
        ("\ufeff" + '{"a":1}', "bad_json"),
        ('{"a":1}{"b":2}', "bad_json"),
        ('{"a":1},{"b":2}', "bad_json"),
        ('{"a":NaN}', "bad_json"),
        ('{"a":-Infinity}', "bad_json"),
        ('{"a":1,}', "bad_json"),
        ('[{"a":1},]', "bad_json"),
        ('{"a":01}', "bad_json"),
        ("{'a':1}", "bad_json"),
        ('{"a":"\\ud800"}', "bad_json"),
        ('{"a":"\x01"}', "bad_json"),
        ('{"a":1', "bad_json"),
        ("H4sI", "bad_encoding"),
        ("H4sI!!", "bad_encoding"),
        (packed('{"a":1}')[:-12], "bad_encoding"),
        (base64.b64encode(gzip.compress(b"\xff")).decode(), "bad_encoding"),
        (packed(""), "bad_json"),
        (letter(letter(letter(sns('{"a":1}')))), "bad_envelope"),
        (nested(DEPTH_MAX + 1), "too_deep"),
        (nested(1_000), "too_deep"),
        ("[" * 500_000, "bad_json"),
    ],
)
def test_a_body_that_holds_no_record_is_one_wrong_record(body: str, code: Code) -> None:
    opened = open_bodies([body])
    assert (opened.records, wrong(opened)) == ([], [(0, code)])


@pytest.mark.parametrize("bad", ["oops", '{"a":NaN}', '{"a":1,}', "[1]", "5", '{"a":"', "}"])
def test_one_bad_line_costs_that_line(bad: str) -> None:
    opened = open_bodies([f'{{"a":1}}\n{bad}\n{{"b":2}}'])
    assert (opened.records, opened.indexes) == (['{"a":1}', '{"b":2}'], [0, 2])
    assert wrong(opened) == [(1, "bad_json")]


@pytest.mark.parametrize("bad", ["oops", "5", "\ufeff", "H4sI", '"text"'])
def test_a_bad_first_line_costs_that_line(bad: str) -> None:
    opened = open_bodies([f'{bad}\n{{"a":1}}\n{{"b":2}}'])
    assert (opened.records, opened.indexes) == (['{"a":1}', '{"b":2}'], [1, 2])


def test_a_bad_element_costs_that_element() -> None:
    opened = open_bodies(['[{"a":1}, 5, null, {"b":2}]'])
    assert (opened.records, opened.indexes) == (['{"a":1}', '{"b":2}'], [0, 3])
    assert wrong(opened) == [(1, "bad_json"), (2, "bad_json")]


def test_a_bad_message_costs_no_other_message() -> None:
    opened = open_bodies(['{"a":1}', "oops", '{"b":2}\n{"c":3}', nested(101)])
    assert (opened.rows, opened.indexes) == ([0, 2, 2], [0, 0, 1])
    assert opened.wrong == [(1, 0, "bad_json"), (3, 0, "too_deep")]


@pytest.mark.parametrize(
    "bodies",
    [
        ['{"a":1\n"b":2}'],
        ['{"a":1', '"b":2}'],
        ['{"a":[1', "2]}"],
        ['{"a":"x', 'y"}'],
        ['{"a":1', '"b":2}', '{"c":1},{"d":2}'],
        ['{"a":[{}', '{"b":1}]}', '{"c":1},{"d":2}'],
    ],
)
def test_two_halves_of_different_records_never_pass_as_one(bodies: list[str]) -> None:
    opened = open_bodies(bodies)
    assert not opened.records
    assert {code for _, code in wrong(opened)} == {"bad_json"}


def test_several_gzip_members_are_one_text() -> None:
    assert open_bodies([packed('{"a":1}\n', '{"b":2}\n')]).records == ['{"a":1}', '{"b":2}']


def test_what_follows_gzip_is_not_dropped_in_silence() -> None:
    body = base64.b64encode(gzip.compress(b'{"a":1}') + b"more").decode()
    assert wrong(open_bodies([body])) == [(0, "bad_encoding")]


@pytest.mark.parametrize("piece", ["{}", "1", '"a"', "[]", '{"a":1}'])
@pytest.mark.parametrize(("before", "after", "between"), [("[", "]", ","), ("[ ", " ]", " , "), ("", "", "\n")])
def test_a_body_holds_a_thousand_records_however_short_and_no_more(
    piece: str, before: str, after: str, between: str
) -> None:
    full = open_bodies([before + between.join([piece] * RECORDS_FREE) + after])
    assert len(full.records) + len(full.wrong) == RECORDS_FREE
    over = open_bodies([before + between.join([piece] * (RECORDS_FREE + 1)) + after])
    assert (over.records, over.wrong) == ([], [(0, 0, "too_large")])


@pytest.mark.parametrize("odd", ["{}", "1", "[]", '"a"'])
@pytest.mark.parametrize(("before", "after", "between"), [("[", "]", ","), ("", " {", "\n")])
def test_a_longer_body_holds_a_record_for_each_25_bytes(odd: str, before: str, after: str, between: str) -> None:
    record = '{"t":"2024-01-01T1000Z"}'.rjust(RECORD_BYTES_MIN - len(between))

    def body(spaces: int) -> str:
        return before + between.join([record, odd + " " * spaces, *[record] * 1_998]) + after

    spaces = RECORD_BYTES_MIN * 2_000 - len(body(0))
    full, over = open_bodies([body(spaces)]), open_bodies([body(spaces - 1)])
    assert over.wrong == [(0, 0, "too_large")]
    assert len(full.records) + len(full.wrong) == 2_000


def test_a_record_with_nothing_but_a_time_is_as_long_as_records_must_be() -> None:
    assert len('{"t":"2024-01-01T10:00Z"}') == RECORD_BYTES_MIN


def test_many_long_records_are_as_many_as_they_are() -> None:
    record = '{"n":' + "1" * RECORD_BYTES_MIN + "}"
    opened = open_bodies(["[" + ",".join([record] * 40_000) + "]"])
    assert (len(opened.records), opened.wrong) == (40_000, [])


@pytest.mark.parametrize("body", ['[{"a":1},{"b":2}]', '{"a":1}\n{"b":2}', "[1,2]"])
def test_bodies_that_no_longer_fit_into_their_file_are_too_large_and_single_records_always_fit(body: str) -> None:
    opened = open_bodies([body, '{"c":3}', body, '{"d":4}', '[{"e":5}]'], records_max=3)
    held = {row for row, _, code in opened.wrong if code != "too_large"} | set(opened.rows)
    assert held == {0, 1, 3, 4}
    assert [place for place in opened.wrong if place[2] == "too_large"] == [(2, 0, "too_large")]


def test_a_file_of_bodies_as_full_as_can_be_fits() -> None:
    assert not open_bodies(['[{"a":1},{"b":2}]', '[{"a":1},{"b":2}]'], records_max=4).wrong


def test_depth_is_told_for_each_record_of_a_file() -> None:
    opened = open_bodies(
        [f'[{nested(DEPTH_MAX)},{nested(DEPTH_MAX + 1)},{{"a":1}}]', '{"a":' + "[[]," * 90 + "1" + "]" * 91]
    )
    assert (opened.rows, opened.indexes) == ([0, 0], [0, 2])
    assert opened.wrong == [(0, 1, "too_deep"), (1, 0, "bad_json")]


@pytest.mark.parametrize(
    "body",
    [nested(500_000), '{"a":' * 500_000, '{"a":' + "[" * 500_000 + "]" * 500_000 + "}", bridge(nested(500_000))],
)
def test_depth_without_end_is_too_deep_in_bounded_time(body: str) -> None:
    began = time.perf_counter()
    assert wrong(open_bodies([body])) == [(0, "too_deep")]
    assert time.perf_counter() - began < BOMB_SECONDS_MAX
