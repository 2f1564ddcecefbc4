"""The questions to the warehouse, as SQL on the Redshift stand-in: what they mean there is what the fake answers."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
import pytest_asyncio

from service.core.datasets import Dataset
from service.core.zones import batch_of
from service.upkeep.books import Booked, Books, Pace
from tests.contract.places import RealPlace, real_place
from tests.fakes.world import DEFINITION
from tests.unit.upkeep.bed import definition, sql

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="module")]

DAY, NEXT = "20260101T235959999Z-0123456789abcdef", "20260102T000000000Z-0123456789abcdef"
PREFIX = "s3://b/raw/up_keep/dt=2026-01-01/"
RAW = f"{PREFIX}hr=23/{DAY}.parquet"
RAW_NEXT = f"s3://b/raw/up_keep/dt=2026-01-02/hr=00/{NEXT}.parquet"
LIKE = RAW.replace("up_keep", "upxkeep")
"""Where an underscore stood for any character, this would be the same dataset's."""
HOUR = datetime(2026, 1, 3, 10, tzinfo=UTC)


def refined(batch: str, number: int = 1) -> str:
    return f"s3://b/refined/up_keep/dt=2025-12-{number:02d}/{batch}.aaaaaaaaaaaa.parquet"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def place(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[RealPlace]:
    async with real_place(tmp_path_factory.mktemp("upkeep")) as opened:
        yield opened


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def dataset(place: RealPlace, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """Its table and ledger, filled."""
    directory: Path = tmp_path_factory.mktemp("definitions")
    found = replace(definition(directory, DEFINITION)["events"], name="up_keep")
    await place.prepare(found)
    moments = "'2026-01-01 10:00:00', '2026-01-01 10:00:00'"
    rows = [("a", RAW), ("b", RAW), ("b", RAW_NEXT), ("c", RAW_NEXT), ("c", RAW_NEXT), ("d", LIKE)]
    for record, raw_file in rows:
        await place.fetch(
            "INSERT INTO lake.up_keep (event_id, event_time, _record_id, _received_at, _raw_file) "
            f"VALUES ('{record}', '2025-12-01', '{record}', '2026-01-01', '{raw_file}')"
        )
    entries = [
        (refined(DAY), 3, "'2026-01-03 09:59:59'", f"'{DAY}'", moments),
        (refined(DAY, 2), 4, "'2026-01-03 09:00:00'", "NULL", "NULL, NULL"),
        (refined(NEXT), 5, "'2026-01-03 08:30:00'", f"'{NEXT}'", moments),
        (refined(NEXT, 2), 99, "'2025-12-20 08:30:00'", "NULL", "NULL, NULL"),
    ]
    for uri, count, loaded_at, batch, told in entries:
        await place.fetch(
            "INSERT INTO acequia.load_ledger_up_keep "
            f"VALUES ('{uri}', 'e', {count}, {count - 2}, 1, 1, 100, 'g', {loaded_at}, {batch}, {told})"
        )
    return found


async def test_a_day_is_told_from_the_others(place: RealPlace, dataset: Dataset) -> None:
    found = await Books(dataset, sql(), place.warehouse).day(date(2026, 1, 1), PREFIX)
    moment = datetime(2026, 1, 1, 10)  # noqa: DTZ001 (tables hold UTC without a zone)
    assert {batch: sorted(ones, key=lambda one: one.uri) for batch, ones in found.booked.items()} == {
        DAY: [
            Booked(refined(DAY), 3, 1, 1, 1, 100, moment, moment),
            Booked(refined(DAY, 2), 4, 2, 1, 1, 100, None, None),
        ]
    }
    assert found.table_rows == {RAW: 2}
    assert found.twice == 1, "of this day's records alone"


async def test_the_ledger_alone_says_the_same(place: RealPlace, dataset: Dataset) -> None:
    found = await Books(dataset, sql(), place.warehouse).booked(date(2026, 1, 2))
    assert {batch_of(one.uri): len(ones) for ones in found.values() for one in ones} == {NEXT: 2}


async def test_what_took_other_rows_places_is_told_by_months(place: RealPlace, dataset: Dataset) -> None:
    books = Books(dataset, sql(), place.warehouse)
    assert await books.replaced(date(2026, 1, 31), date(2026, 1, 31)) == 4
    assert await books.replaced(date(2026, 2, 1), date(2026, 12, 31)) == 0


async def test_the_best_hour_and_the_best_minute_of_the_last_week(place: RealPlace, dataset: Dataset) -> None:
    books = Books(dataset, sql(), place.warehouse)
    assert await books.pace(HOUR) == Pace(7, 5)
    assert await books.pace(HOUR.replace(month=3)) is None
