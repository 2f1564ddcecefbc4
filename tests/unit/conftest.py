"""Small raw files, definitions and messages for the tests here."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest

from service.core.datasets import Dataset
from service.core.definitions import load_dataset
from service.core.model import Attribute, Message
from service.land.encode import encode
from service.refine.compile import compile_dataset
from service.refine.execute import Judged, Keys, judge

ARRIVAL = datetime(2024, 3, 4, 12, tzinfo=UTC)
RAW_FILE = "s3://raw/things/f.parquet"
KEYS = Keys(identity=b"i" * 32, mask=b"m" * 32)
MEMORY_BYTES = 256 * 1024 * 1024
HEAD = """
event_time = "at"
event_time_oldest = 1000-01-01
event_time_future_days_max = 36500
"""
FIRST_COLUMNS = """
[[column]]
name = "id"
type = "varchar(32)"
required = true
[[column]]
name = "at"
type = "timestamp"
required = true
"""


@pytest.fixture
def message() -> Callable[..., Message]:
    """A message of the records queue; what matters is given."""

    def make(
        body: str = "{}",
        message_id: str = "m0",
        attributes: Mapping[str, Attribute] | None = None,
        receive_count: int = 1,
    ) -> Message:
        receipt = f"receipt of {message_id}"
        return Message(message_id, body, attributes or {}, ARRIVAL, ARRIVAL, receive_count, receipt)

    return make


@pytest.fixture
def keys() -> Keys:
    return KEYS


@pytest.fixture
def define(tmp_path: Path) -> Callable[..., Dataset]:
    """A dataset with the columns `id` and `at`, and those of the given TOML; `head` stands above the columns."""

    def make(columns: str = "", *, head: str = 'rest = "rest"', identity: str = 'key = ["id"]') -> Dataset:
        path = tmp_path / "things.toml"
        path.write_text(f"{identity}\n{HEAD}\n{head}\n{FIRST_COLUMNS}\n{columns}", encoding="utf-8")
        return load_dataset(path)

    return make


@pytest.fixture
def judge_bodies(message: Callable[..., Message]) -> Callable[..., Judged]:
    """Land the bodies in one raw file (message ids m0, m1, …) and judge it."""

    def run(dataset: Dataset, bodies: list[str], keys: Keys = KEYS) -> Judged:
        raw = encode([message(body, f"m{number}") for number, body in enumerate(bodies)], "records")
        return judge(raw, RAW_FILE, compile_dataset(dataset), keys, MEMORY_BYTES)

    return run


@pytest.fixture
def judge_fields(judge_bodies: Callable[..., Judged]) -> Callable[..., object]:
    """Judge one record with the given fields: a column's stored value, or the rejection's code."""

    def run(dataset: Dataset, fields: str, column: str) -> object:
        judged = judge_bodies(
            dataset, ['{"id":"1","at":"2024-03-04T00:00:00Z"' + (f",{fields}" if fields else "") + "}"]
        )
        assert judged.records == 1
        if judged.rejections:
            [rejection] = judged.rejections
            assert (judged.good.num_rows, rejection.places) == (0, [(0, 0)])
            return rejection.fault.code
        return judged.good.column(column)[0].as_py()

    return run
