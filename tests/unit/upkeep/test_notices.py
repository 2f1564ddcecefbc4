"""Notices made from files alone: what they say, and when they are refused."""

from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.core.datasets import Dataset
from service.core.definitions import load_dataset
from service.core.errors import RejectedError
from service.core.notice import FILES_MAX, FileNotice
from service.upkeep.lake import Made, RawFile
from service.upkeep.notices import Read, described, load_notices, raw_notice, replay_notice, row_count

DEFINITION = """
key = ["event_id"]
event_time = "event_time"
rest = "rest"
event_time_oldest = 2020-01-01
""" + "\n".join(
    f'[[column]]\nname = "{name}"\ntype = "{kind}"\nrequired = {str(name.startswith("event")).lower()}'
    for name, kind in [
        ("event_id", "varchar(32)"),
        ("event_time", "timestamp"),
        ("small", "smallint"),
        ("amount", "integer"),
        ("big", "bigint"),
        ("price", "decimal(12,2)"),
        ("ratio", "double"),
        ("ok", "boolean"),
        ("born", "date"),
    ]
)
BATCH = "20260101T100000000Z-0123456789abcdef"
STORED = datetime(2026, 1, 1, 10, 5, tzinfo=UTC)
MADE = Made(f"s3://refined/events/dt=2025-12-01/{BATCH}.{'a' * 12}.parquet", BATCH, 100, STORED)
ROW = {
    "event_id": "e1",
    "event_time": datetime(2025, 12, 1, 8),  # noqa: DTZ001 (files hold UTC without a zone)
    "small": 1,
    "amount": 2,
    "big": 3,
    "price": Decimal("4.50"),
    "ratio": 0.5,
    "ok": True,
    "born": date(1990, 1, 1),
    "rest": "{}",
    "_record_id": "r",
    "_received_at": datetime(2026, 1, 1, 10),  # noqa: DTZ001
    "_raw_file": "s3://raw/f",
}
TYPES = {
    "small": pa.int16(),
    "amount": pa.int32(),
    "price": pa.decimal128(12, 2),
    "event_time": pa.timestamp("us"),
    "_received_at": pa.timestamp("us"),
}


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    (tmp_path / "events.toml").write_text(DEFINITION)
    return load_dataset(tmp_path / "events.toml")


def parquet(*rows: dict[str, object], **types: pa.DataType) -> Read:
    table = pa.Table.from_pylist(list(rows or [ROW]))
    kinds = TYPES | types
    schema = pa.schema([(field.name, kinds.get(field.name, field.type)) for field in table.schema])
    sink = pa.BufferOutputStream()
    pq.write_table(table.cast(schema), sink, coerce_timestamps="us", store_schema=False)
    return Read(bytes(sink.getvalue()), "etag")


def test_a_refined_files_notice_has_the_definitions_types_in_the_files_order(dataset: Dataset) -> None:
    late = ROW | {"event_id": "e2", "event_time": datetime(2025, 12, 1, 9)}  # noqa: DTZ001
    [notice] = load_notices(dataset, "refined", [described(dataset, MADE, parquet(late, ROW))])
    assert list(notice.columns) == list(dataset.stored_columns)
    [file] = notice.files
    assert (file.uri, file.etag, file.rows) == (MADE.uri, "etag", 2)
    bounds = (datetime(2025, 12, 1, 8, tzinfo=UTC), datetime(2025, 12, 1, 9, tzinfo=UTC))
    assert (file.event_time_min, file.event_time_max) == bounds
    assert (notice.definition, notice.event_time, notice.produced_at) == ("a" * 12, "event_time", STORED)
    assert FileNotice.from_json(notice.to_json()).files == [file]


def test_a_file_of_an_older_definition_has_fewer_columns(dataset: Dataset) -> None:
    older = {name: value for name, value in ROW.items() if name not in ("ok", "rest")}
    columns = described(dataset, MADE, parquet(older)).columns
    assert list(columns) == [one for one in dataset.stored_columns if one[0] not in ("ok", "rest")]


@pytest.mark.parametrize(
    ("read", "sentence"),
    [
        (parquet(ROW | {"more": 1}), "its column more is in no definition any more"),
        (parquet(price=pa.decimal128(14, 2)), "its column price is of another type than the definition says now"),
        (parquet(amount=pa.int64()), "its column amount is of another type"),
        (parquet({k: v for k, v in ROW.items() if k != "event_time"}), "it has no column event_time"),
        (parquet(ROW | {"event_time": datetime(2025, 12, 2)}), "it was not cut by event_time"),  # noqa: DTZ001
        (Read(b"no Parquet", ""), "it is not readable as Parquet"),
    ],
)
def test_what_the_definition_does_not_tell_is_refused_not_guessed(dataset: Dataset, read: Read, sentence: str) -> None:
    with pytest.raises(RejectedError, match=sentence):
        described(dataset, MADE, read)


def test_files_of_one_definition_and_the_same_columns_share_a_notice(dataset: Dataset) -> None:
    one = described(dataset, MADE, parquet())
    other = replace(MADE, uri=MADE.uri.replace("a" * 12, "b" * 12))
    more = [replace(one, made=replace(MADE, stored_at=STORED.replace(minute=n % 60))) for n in range(65)]
    notices = [*load_notices(dataset, "refined", [*more, replace(one, made=other)])]
    assert [(len(notice.files), notice.definition[0]) for notice in notices] == [(64, "a"), (1, "a"), (1, "b")]
    older = replace(one, columns=one.columns[1:])
    assert len([*load_notices(dataset, "refined", [one, older])]) == 2, "COPY goes by position"
    assert notices[0].produced_at == STORED.replace(minute=0), "that of its oldest file"


def raw(dataset: Dataset, body: bytes) -> FileNotice:
    return raw_notice(dataset, "raw", RawFile("s3://raw/x.parquet", BATCH, 1, STORED), Read(body, "etag"), STORED)


def test_a_replays_notice_is_the_raw_files_with_what_it_replaces(dataset: Dataset) -> None:
    notice = raw(dataset, parquet(ROW, ROW).body)
    assert (notice.files[0].rows, notice.columns[0]) == (2, ("event_id", "string"))
    replay = replay_notice(notice, ["b", "a"])
    assert replay.replaces is not None
    assert (replay.replaces.raw_file, replay.replaces.uris) == ("s3://raw/x.parquet", ("a", "b"))
    assert FileNotice.from_json(replay.to_json()).replaces == replay.replaces


@pytest.mark.parametrize("old", [["x" * 10] * (FILES_MAX + 1), ["x" * 1_020] * (FILES_MAX - 1)])
def test_more_than_a_notice_can_name_is_refused(dataset: Dataset, old: list[str]) -> None:
    with pytest.raises(RejectedError, match="more than a notice can name"):
        replay_notice(raw(dataset, parquet().body), old)


@pytest.mark.parametrize("body", [b"", b"no Parquet", parquet().body[:-9]])
def test_what_is_no_parquet_is_refused(dataset: Dataset, body: bytes) -> None:
    with pytest.raises(RejectedError, match="not readable"):
        raw(dataset, body)
    with pytest.raises(RejectedError, match="not readable"):
        row_count(body)
