"""Error rows are files that the loader takes, the same for the same batch."""

import io
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.core.datasets import Dataset
from service.core.errors_dataset import ERRORS
from service.core.zones import refined_place
from service.quarantine.arrivals import Arrivals, Failure
from service.quarantine.records import Block, messages_block
from service.quarantine.rows import LENGTHS, SCHEMA, ErrorFile, ErrorRows, clean
from tests.unit.quarantine.bench import ERRORS_ZONE, NOON, RAW, SEALED, about_message, dead, sound

BATCH_ID = "20240304T120500000Z-0123456789abcdef"
ORIGINALS_URI = "s3://errors/originals/dt=2024-03-04/x.parquet"


def failure(loans: Dataset, message_id: str = "m0") -> Failure:
    arrivals = Arrivals("land", zones=(RAW, ERRORS_ZONE), datasets={"loans": loans}, check=sound)
    return arrivals.failure(about_message(dead('{"id":"1"}', message_id), dataset="loans"))


def block(failures: Sequence[Failure]) -> Block:
    return messages_block(failures, set(), lambda _, text: text)


def files(*blocks: Block) -> list[ErrorFile]:
    rows = ErrorRows(ERRORS_ZONE, batch_id=BATCH_ID, sealed_at=SEALED, originals_uri=ORIGINALS_URI)
    for one in blocks:
        rows.add(one)
    return rows.close()


def read(file: ErrorFile) -> pa.Table:
    return pq.read_table(io.BytesIO(file.body))


def test_a_row_has_every_column_of_the_dataset_in_order(loans: Dataset) -> None:
    one = failure(loans)
    [file] = files(block([one]))
    table = read(file)
    assert table.schema.names == [name for name, _ in ERRORS.stored_columns]
    assert table.schema.equals(SCHEMA)
    assert table.to_pylist() == [
        {
            "error_id": one.error_id,
            "fingerprint": one.fingerprint,
            "layer": "land",
            "dataset": "loans",
            "code": "unknown_dataset",
            "sentence": "no dataset",
            "field": None,
            "raw_file": None,
            "row_index": None,
            "record_index": None,
            "message_id": "m0",
            "first_failed_at": NOON.replace(tzinfo=None),
            "last_failed_at": NOON.replace(tzinfo=None),
            "attempts": 1,
            "size_bytes": 10,
            "preview": '{"id":"1"}',
            "original_uri": ORIGINALS_URI,
            "state": "open",
            "updated_at": NOON.replace(tzinfo=None),
            "round_id": None,
            "_record_id": one.error_id,
            "_received_at": SEALED.replace(tzinfo=None),
            "_raw_file": file.uri,
        }
    ]


def test_what_is_never_null_in_the_table_never_is(loans: Dataset) -> None:
    [file] = files(block([replace(failure(loans), dataset="", original=None, original_uri=None)]))
    table = read(file)
    assert table.column("dataset").to_pylist() == [None]
    assert {name for name in ERRORS.never_null if table.column(name).null_count} == set()


def test_the_address_is_one_that_the_loader_takes(loans: Dataset) -> None:
    [file] = files(block([failure(loans)]))
    place = refined_place(ERRORS_ZONE, file.uri)
    assert (place.dataset, place.partition, place.batch_id) == ("errors", "dt=2024-03-04", BATCH_ID)


def test_each_day_is_a_file_by_the_first_failure(loans: Dataset) -> None:
    moments = [NOON, NOON + timedelta(hours=12), NOON + timedelta(hours=13), datetime(1, 1, 1, tzinfo=UTC)]
    failures = [
        replace(failure(loans, f"m{n}"), error_id=f"e{n}", first_failed_at=moment) for n, moment in enumerate(moments)
    ]
    made = files(block(failures[:2]), block(failures[2:]))
    assert [refined_place(ERRORS_ZONE, file.uri).partition for file in made] == [
        "dt=0001-01-01",
        "dt=2024-03-04",
        "dt=2024-03-05",
    ]
    assert [(file.rows, file.event_time_min, file.event_time_max) for file in made] == [
        (1, moments[3], moments[3]),
        (1, moments[0], moments[0]),
        (2, moments[1], moments[2]),
    ]
    assert [read(file).column("error_id").to_pylist() for file in made] == [["e3"], ["e0"], ["e1", "e2"]]


def test_the_version_is_the_last_failure(loans: Dataset) -> None:
    [file] = files(block([replace(failure(loans), last_failed_at=NOON + timedelta(hours=30))]))
    [row] = read(file).to_pylist()
    assert row["updated_at"] == row["last_failed_at"] == (NOON + timedelta(hours=30)).replace(tzinfo=None)
    assert row["first_failed_at"] == NOON.replace(tzinfo=None)


def test_the_same_batch_gives_the_same_bytes(loans: Dataset) -> None:
    failures = [failure(loans, f"m{n}") for n in range(3)]
    assert files(block(failures)) == files(block(failures))


def test_what_is_about_error_files_makes_no_row(loans: Dataset) -> None:
    about = replace(failure(loans), about_errors=True)
    assert not files(block([about]))
    [file] = files(block([about, failure(loans, "m1")]))
    assert read(file).column("message_id").to_pylist() == ["m1"]


def test_an_original_that_lies_somewhere_already_keeps_its_address(loans: Dataset) -> None:
    uri = "s3://errors/originals/dt=2024-03-04/0f.json"
    [file] = files(block([replace(failure(loans), original=None, original_uri=uri)]))
    [row] = read(file).to_pylist()
    assert (row["original_uri"], row["size_bytes"], row["preview"]) == (uri, None, None)


@pytest.mark.parametrize("column", ["sentence", "field", "round_id"])
def test_no_text_is_longer_than_its_column_or_holds_what_tables_refuse(loans: Dataset, column: str) -> None:
    [file] = files(block([replace(failure(loans), **{column: "\0\ud800" + "é" * 5_000})]))  # type: ignore[arg-type]
    [told] = read(file).column(column).to_pylist()
    assert told.startswith("?é")
    assert LENGTHS[column] - 1 <= len(told.encode()) <= LENGTHS[column]


@given(st.text() | st.characters(categories=["Cs"]), st.integers(min_value=1, max_value=20))
def test_clean_text_is_text_that_fits(text: str, bytes_max: int) -> None:
    told = clean(text, bytes_max)
    assert told is not None
    assert len(told.encode()) <= bytes_max
    assert "\0" not in told
