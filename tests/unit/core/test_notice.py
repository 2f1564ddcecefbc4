"""File notices: a round trip, and everything else refused."""

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from service.core.dead_letter import PLACES_MAX
from service.core.errors import RejectedError
from service.core.notice import FILES_MAX, WHOLE_MESSAGE, File, FileNotice, Replaces, rows_to_replay

NOON = datetime(2024, 3, 4, 12, tzinfo=UTC)
NOTICE = FileNotice(
    dataset="things",
    zone="refined",
    files=[File("s3://b/k", '"e"', 5, 2, NOON, NOON), File("s3://b/l", '"f"', 0, 0)],
    columns=[("id", "varchar(32)"), ("amount", "decimal(5,1)")],
    batch_id="20240304T120000000Z-0123456789abcdef",
    definition="0123456789ab",
    produced_at=NOON,
)
Change = Callable[[dict[str, Any]], object]


REPLACES = Replaces("s3://raw/things/f.parquet", ("s3://refined/things/f.1.parquet",))


def changed(change: Change) -> str:
    given = json.loads(NOTICE.to_json())
    change(given)
    return json.dumps(given)


def refusal(body: str) -> str:
    with pytest.raises(RejectedError) as raised:
        FileNotice.from_json(body)
    return raised.value.code


@pytest.mark.parametrize("replaces", [None, REPLACES, Replaces("s3://raw/things/f.parquet", ())])
def test_a_notice_survives_the_queue(replaces: Replaces | None) -> None:
    notice = replace(NOTICE, replaces=replaces)
    assert FileNotice.from_json(notice.to_json()) == notice


def test_a_replay_may_leave_nothing_of_its_raw_file() -> None:
    notice = replace(NOTICE, files=[], replaces=REPLACES)
    assert FileNotice.from_json(notice.to_json()) == notice


RAW = replace(NOTICE, zone="raw", files=NOTICE.files[:1], columns=[], definition="")
OF_ROWS = replace(RAW, rows=((0, 1), (7, 0), (9, WHOLE_MESSAGE)), attempt=2, round_id="r1", first_failed_at=NOON)


def test_a_replay_of_rows_survives_the_queue() -> None:
    assert FileNotice.from_json(OF_ROWS.to_json()) == OF_ROWS


def test_a_notice_of_an_older_version_is_about_whole_files() -> None:
    given = json.loads(RAW.to_json())
    for name in ("rows", "attempt", "round_id", "first_failed_at"):
        del given[name]
    assert FileNotice.from_json(json.dumps(given)) == RAW


def test_a_notice_about_rows_of_an_older_version_has_no_first_moment() -> None:
    given = json.loads(OF_ROWS.to_json())
    del given["first_failed_at"]
    assert FileNotice.from_json(json.dumps(given)) == replace(OF_ROWS, first_failed_at=None)


@pytest.mark.parametrize(
    "wrong",
    [
        replace(OF_ROWS, files=NOTICE.files),
        replace(OF_ROWS, replaces=REPLACES),
        replace(OF_ROWS, rows=tuple((row, 0) for row in range(PLACES_MAX + 1))),
        replace(OF_ROWS, rows=((-1, 0),)),
        replace(OF_ROWS, rows=((0, -2),)),
        replace(OF_ROWS, attempt=-1),
    ],
)
def test_a_replay_of_rows_is_of_one_file_and_not_too_long(wrong: FileNotice) -> None:
    assert refusal(wrong.to_json()) == "bad_notice"


def test_the_most_places_of_a_letter_make_one_notice() -> None:
    most = replace(OF_ROWS, rows=tuple((10_000_000 + row, 0) for row in range(PLACES_MAX)))
    assert FileNotice.from_json(most.to_json()) == most
    assert len(most.to_json()) < 900_000


@pytest.mark.parametrize("rows", [5, {"0": 1}, [5], ["01"], [[0]], [[0, 1, 2]], [["0", 1]], [[0, 1.5]], [[0, None]]])
def test_rows_that_are_no_places_are_a_bad_notice(rows: object) -> None:
    assert refusal(json.dumps(json.loads(OF_ROWS.to_json()) | {"rows": rows})) == "bad_notice"


@pytest.mark.parametrize(
    ("code", "column", "rows"),
    [
        ("bad_type", "x", ((3, 0), (3, 1))),
        ("bad_json", None, ((3, 0), (3, 1))),
        ("too_deep", None, ((3, 0), (3, 1))),
        ("bad_encoding", "x", ((3, 0), (3, 1))),
        ("bad_encoding", None, ((3, WHOLE_MESSAGE), (3, 1))),
        ("bad_envelope", None, ((3, WHOLE_MESSAGE), (3, 1))),
        ("too_large", None, ((3, WHOLE_MESSAGE), (3, 1))),
    ],
)
def test_a_body_that_could_not_be_opened_is_replayed_whole(
    code: str, column: str | None, rows: tuple[tuple[int, int], ...]
) -> None:
    assert rows_to_replay(code, column, [(3, 0), (3, 1)]) == rows


def test_a_notice_weighs_what_its_files_weigh() -> None:
    assert NOTICE.size_bytes == 5


def test_unknown_fields_are_ignored_so_that_a_newer_producer_may_add_some() -> None:
    assert FileNotice.from_json(changed(lambda n: n.update(more=1))) == NOTICE


@pytest.mark.parametrize(
    "body",
    ["", "null", "5", "[]", "{}", "{", '{"v":1}', '"text"', "[" * 100_000, '{"v":' + "9" * 5_000 + "}"],
)
def test_what_is_no_notice_is_a_bad_notice(body: str) -> None:
    assert refusal(body) == "bad_notice"


@pytest.mark.parametrize(
    "change",
    [
        lambda n: n.update(v=2),
        lambda n: n.update(v="1"),
        lambda n: n.pop("v"),
        lambda n: n.update(files=[]),
        lambda n: n.update(files=n["files"][:1] * (FILES_MAX + 1)),
        lambda n: n.update(files=None),
        lambda n: n["files"][0].pop("uri"),
        lambda n: n["files"][0].update(uri=None),
        lambda n: n["files"][0].update(etag=5),
        lambda n: n["files"][0].update(rows=-1),
        lambda n: n["files"][0].update(rows=1.5),
        lambda n: n["files"][0].update(rows=True),
        lambda n: n["files"][0].update(rows="1"),
        lambda n: n["files"][0].pop("content_length_bytes"),
        lambda n: n["files"][0].update(event_time_min="2024-03-04T12:00:00"),
        lambda n: n["files"][0].update(event_time_min=5),
        lambda n: n["files"][0].update(event_time_max="soon"),
        lambda n: n.update(columns=[["id"]]),
        lambda n: n.update(columns=[["id", 5]]),
        lambda n: n.update(columns=5),
        lambda n: n.update(dataset=None),
        lambda n: n.update(zone=["refined"]),
        lambda n: n.update(batch_id=5),
        lambda n: n.pop("definition"),
        lambda n: n.update(produced_at="2024-03-04"),
        lambda n: n.pop("produced_at"),
        lambda n: n.update(round_id=5),
        lambda n: n.update(attempt="1"),
        lambda n: n.update(replaces=5),
        lambda n: n.update(replaces={"raw_file": "s3://raw/f.parquet"}),
        lambda n: n.update(replaces={"raw_file": 5, "uris": []}),
        lambda n: n.update(replaces={"raw_file": "s3://raw/f.parquet", "uris": [5]}),
        lambda n: n.update(replaces={"raw_file": "s3://raw/f.parquet", "uris": ["s3://b/k"] * 1_001}),
    ],
)
def test_a_malformed_field_is_a_bad_notice(change: Change) -> None:
    assert refusal(changed(change)) == "bad_notice"


@pytest.mark.parametrize("files", [["s3://b/k"], [None], [5], {"uri": "s3://b/k"}])
def test_files_that_are_no_objects_are_a_bad_notice(files: object) -> None:
    assert refusal(changed(lambda n: n.update(files=files))) == "bad_notice"


@pytest.mark.parametrize("columns", [["id"], {"id": 1}, "id"])
def test_columns_that_are_no_pairs_are_a_bad_notice(columns: object) -> None:
    assert refusal(changed(lambda n: n.update(columns=columns))) == "bad_notice"


def test_the_sentence_holds_no_value_of_the_body() -> None:
    with pytest.raises(RejectedError) as raised:
        FileNotice.from_json(changed(lambda n: n.update(produced_at="secret")))
    assert "secret" not in raised.value.sentence


@pytest.mark.parametrize(
    "changed",
    [
        {"produced_at": "0001-01-01T00:00:00+14:00"},
        {"produced_at": "9999-12-31T23:59:59-14:00"},
        {"first_failed_at": 5},
        {"first_failed_at": "2024-03-04T12:00:00"},
        {"first_failed_at": "1999-12-31T23:59:59Z"},
        {"first_failed_at": "0001-01-01T00:00:00+14:00"},
        {"first_failed_at": "9999-12-31T23:59:59-14:00"},
        {"round_id": "\ud800"},
        {"round_id": "r" * 65},
        {"round_id": "one\ntwo"},
        {"dataset": "\ud800"},
        {"attempt": 10**400},
        {"attempt": 2**53 + 1},
    ],
)
def test_what_no_layer_of_ours_could_go_on_with_is_a_bad_notice(changed: dict[str, object]) -> None:
    with pytest.raises(RejectedError) as raised:
        FileNotice.from_json(json.dumps(json.loads(NOTICE.to_json()) | changed))
    assert raised.value.code == "bad_notice"
