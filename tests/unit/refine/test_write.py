"""Judged rows, cut into one Parquet file a partition."""

from collections.abc import Callable
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.core.datasets import Dataset
from service.refine.execute import Judged
from service.refine.write import Part, parts, read_part

Cut = Callable[..., list[Part]]


@pytest.fixture
def cut(define: Callable[..., Dataset], judge_bodies: Callable[..., Judged]) -> Cut:
    def run(times: list[str], head: str = "") -> list[Part]:
        bodies = [f'{{"id":"{number}","at":"{at}"}}' for number, at in enumerate(times)]
        return parts(judge_bodies(define(head=head), bodies).good, "at")

    return run


def ids(part: Part) -> list[str]:
    found: list[str] = pq.read_table(pa.BufferReader(part.body)).column("id").to_pylist()
    return found


def test_rows_are_cut_by_the_day_of_their_event_time_in_utc(cut: Cut) -> None:
    made = cut(["2024-03-05T00:30:00+01:00", "2024-03-05T00:00:00Z", "2024-03-04T00:00:00Z"])
    assert [(part.partition, part.rows, ids(part)) for part in made] == [
        ("dt=2024-03-04", 2, ["0", "2"]),
        ("dt=2024-03-05", 1, ["1"]),
    ]
    assert (made[0].event_time_min, made[0].event_time_max) == (
        datetime(2024, 3, 4, tzinfo=UTC),
        datetime(2024, 3, 4, 23, 30, tzinfo=UTC),
    )


def test_an_hourly_dataset_is_cut_by_the_hour(cut: Cut) -> None:
    made = cut(["2024-03-04T05:59:59Z", "2024-03-04T06:00:00Z"], 'partition = "hour"')
    assert [part.partition for part in made] == ["dt=2024-03-04/hr=05", "dt=2024-03-04/hr=06"]


def test_no_rows_make_no_file(cut: Cut) -> None:
    assert cut([]) == []


def test_a_file_has_the_stored_columns_in_order_and_types_that_copy_takes(
    cut: Cut, define: Callable[..., Dataset]
) -> None:
    [part] = cut(["2024-03-04T00:00:00Z"], 'rest = "rest"')
    schema = pq.read_schema(pa.BufferReader(part.body))
    assert schema.names == [name for name, _ in define().stored_columns]
    assert schema.field("at").type == pa.timestamp("us")
    assert schema.field("rest").type == pa.string()


def test_the_same_rows_make_the_same_bytes(cut: Cut) -> None:
    assert cut(["2024-03-04T00:00:00Z"]) == cut(["2024-03-04T00:00:00Z"])


def test_what_was_written_is_read_as_it_was(cut: Cut) -> None:
    [part] = cut(["2024-03-04T00:00:00Z", "2024-03-04T10:00:00Z"])
    assert read_part(part.partition, part.body, "at") == part


@pytest.mark.parametrize(
    "spoil",
    [
        lambda body: f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n",
        lambda body: body[: len(body) // 2],
        lambda body: body[:4] + bytes(len(body) - 8) + body[-4:],
        lambda body: body[:4] + bytes(60) + body[64:],
        lambda body: b"",
    ],
    ids=["framed", "cut", "hollow", "a column is garbled", "empty"],
)
def test_what_cannot_be_read_is_no_part(cut: Cut, spoil: Callable[[bytes], bytes]) -> None:
    [part] = cut(["2024-03-04T00:00:00Z"])
    assert read_part(part.partition, spoil(part.body), "at") is None


@pytest.mark.parametrize(
    "rows",
    [
        pa.table({"id": ["1"]}),
        pa.table({"at": pa.array([], pa.timestamp("us"))}),
        pa.table({"at": pa.array([None], pa.timestamp("us"))}),
    ],
    ids=["no such column", "no rows", "no times"],
)
def test_rows_without_an_event_time_are_no_part(rows: pa.Table) -> None:
    sink = pa.BufferOutputStream()
    pq.write_table(rows, sink)
    assert read_part("dt=2024-03-04", bytes(sink.getvalue()), "at") is None
