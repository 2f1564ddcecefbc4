"""The table of what was rejected is loaded as any other: of two versions of an error row the higher stays."""

import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import permutations
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import pytest_asyncio

from service.core.errors_dataset import ERRORS as DATASET
from service.core.errors_dataset import State
from service.core.notice import File, FileNotice
from service.core.zones import refined_key
from tests.loader.files import ERRORS, LANDED, RAW, Batch
from tests.loader.world import Stack, World

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

FAILED = datetime(2026, 3, 20, 23, 59)  # noqa: DTZ001 (tables hold UTC without a zone)
ARROW = {"varchar": pa.string(), "timestamp": pa.timestamp("us"), "bigint": pa.int64(), "integer": pa.int32()}
SCHEMA = pa.schema([(name, ARROW[written.partition("(")[0]]) for name, written in DATASET.stored_columns])


@dataclass(frozen=True)
class Failure:
    """An error row. `version` counts the minutes from the failure to what the row says."""

    error_id: str
    state: State = "open"
    version: int = 0
    fingerprint: str = "f1"
    more: dict[str, Any] = field(default_factory=dict)

    def values(self, uri: str) -> dict[str, Any]:
        """Its columns in the file that lies there."""
        return {
            "error_id": self.error_id,
            "fingerprint": self.fingerprint,
            "layer": "refine",
            "dataset": "events",
            "code": "bad_type",
            "sentence": "column amount: the field holds no integer value",
            "field": "amount",
            "raw_file": RAW.uri("events/raw.parquet"),
            "row_index": 3,
            "record_index": 0,
            "first_failed_at": FAILED,
            "last_failed_at": FAILED + timedelta(seconds=self.version),
            "attempts": 1 + self.version,
            "preview": '{"note":"***"}',
            "state": self.state,
            "updated_at": FAILED + timedelta(minutes=self.version),
            "_record_id": self.error_id,
            "_received_at": LANDED.replace(tzinfo=None),
            "_raw_file": uri,
            **self.more,
        }


class Errors:
    """Stores error files, and announces them."""

    def __init__(self, world: World) -> None:
        self._world = world

    def batch(self) -> Batch:
        """One that nobody else has."""
        return Batch(DATASET.name, next(self._world.stack.numbers))

    async def announced(self, *files: Sequence[Failure], batch: Batch | None = None) -> FileNotice:
        """A notice about these files of one batch, each with these rows."""
        batch = batch or self.batch()
        stored = [await self._stored(batch, f"{number:012x}", rows) for number, rows in enumerate(files)]
        return FileNotice(
            dataset=DATASET.name,
            zone=ERRORS.name,
            files=stored,
            columns=DATASET.stored_columns,
            batch_id=batch.batch_id,
            definition=DATASET.definition,
            produced_at=datetime.now(UTC),
            event_time=DATASET.event_time,
        )

    async def _stored(self, batch: Batch, mark: str, rows: Sequence[Failure]) -> File:
        uri = ERRORS.uri(refined_key(DATASET.name, f"dt={FAILED:%Y-%m-%d}", batch.batch_id, mark))
        sink = io.BytesIO()
        pq.write_table(pa.Table.from_pylist([row.values(uri) for row in rows], schema=SCHEMA), sink)
        stored = await self._world.stack.store.put_new(uri, sink.getvalue())
        return File(uri, stored.etag, stored.content_length_bytes, len(rows))


@pytest_asyncio.fixture(loop_scope="session")
async def rejected(stack: Stack) -> World:
    """An empty table of what was rejected, and empty queues."""
    return await World.new(stack, DATASET)


@pytest.fixture
def errors(rejected: World) -> Errors:
    """Where error files come from."""
    return Errors(rejected)


@pytest.mark.parametrize("order", list(permutations(range(3))))
@pytest.mark.parametrize("lives", ["one life", "a life each"])
async def test_of_an_error_rows_versions_the_highest_stays(
    rejected: World, errors: Errors, order: Sequence[int], lives: str
) -> None:
    versions = [Failure("e1"), Failure("e1", "reprocessed", 1), Failure("e1", "resolved", 2)]
    notices = [await errors.announced([version]) for version in versions]
    for number in order:
        rejected.send(notices[number])
        if lives == "a life each":
            await rejected.live()
    await rejected.live()
    [row] = await rejected.rows()
    assert (row["state"], row["attempts"], row["updated_at"]) == ("resolved", 3, FAILED + timedelta(minutes=2))
    assert (row["first_failed_at"], row["_record_id"], row["row_index"], row["message_id"]) == (FAILED, "e1", 3, None)
    assert row["_raw_file"] == notices[2].files[0].uri
    assert rejected.letters() == []
    ledger = {entry["uri"]: entry for entry in await rejected.ledger()}
    assert ledger.keys() == {notice.files[0].uri for notice in notices}
    assert all(entry["inserted"] + entry["duplicate"] + entry["replaced"] == 1 for entry in ledger.values())
    assert sum(entry["inserted"] for entry in ledger.values()) == 1
    assert ledger[row["_raw_file"]]["duplicate"] == 0


async def test_failures_of_one_cause_are_one_line_with_counts_and_a_state(rejected: World, errors: Errors) -> None:
    rejected.send(
        await errors.announced([Failure(f"a{number}", fingerprint="a") for number in range(3)]),
        await errors.announced([Failure("a0", "resolved", 5, "a"), Failure("a1", "parked", 4, "a")]),
        await errors.announced([Failure("b0", "parked", 1, "b"), Failure("b1", "reprocessed", 2, "b")]),
        await errors.announced([Failure("c0", "reprocessed", 1, "c"), Failure("c1", "resolved", 2, "c")]),
        await errors.announced([Failure("d0", "resolved", 1, "d", {"dataset": None, "field": None})]),
    )
    await rejected.live()
    counts = "records, records_open, records_reprocessed, records_resolved, records_parked"
    found = await rejected.asked(f"SELECT fingerprint, {counts}, state FROM acequia.failures ORDER BY fingerprint")
    assert [tuple(row.values()) for row in found] == [
        ("a", 3, 1, 0, 1, 1, "open"),
        ("b", 2, 0, 1, 0, 1, "parked"),
        ("c", 2, 0, 1, 1, 0, "reprocessed"),
        ("d", 1, 0, 0, 1, 0, "resolved"),
    ]
    facts = "layer, dataset, code, field, sentence, first_failed_at, last_failed_at"
    found = await rejected.asked(f"SELECT {facts} FROM acequia.failures WHERE fingerprint IN ('a', 'd') ORDER BY 2")
    why = "column amount: the field holds no integer value"
    assert [tuple(row.values()) for row in found] == [
        ("refine", "events", "bad_type", "amount", why, FAILED, FAILED + timedelta(seconds=5)),
        ("refine", None, "bad_type", None, why, FAILED, FAILED + timedelta(seconds=1)),
    ]


async def test_files_of_one_batch_and_day_are_counted_apart(rejected: World, errors: Errors) -> None:
    """An error row names its own file, so nothing else has to tell them apart."""
    rejected.send(await errors.announced([Failure("e1")]))
    await rejected.live()
    again = await errors.announced([Failure("e1"), Failure("e2")], [Failure("e1", "parked", 1)], [Failure("e2")])
    rejected.send(again)
    await rejected.live()
    fates = {row["uri"]: (row["inserted"], row["duplicate"], row["replaced"]) for row in await rejected.ledger()}
    assert [fates[file.uri] for file in again.files] == [(1, 1, 0), (0, 0, 1), (0, 1, 0)]


async def test_a_notice_that_comes_twice_is_loaded_once(rejected: World, errors: Errors) -> None:
    notice = await errors.announced([Failure("e1"), Failure("e2")])
    rejected.send(notice, notice)
    await rejected.live()
    rejected.send(notice)
    await rejected.live()
    assert [row["error_id"] for row in await rejected.rows()] == ["e1", "e2"]
    assert len(await rejected.ledger()) == 1


async def test_an_error_file_that_is_refused_ends_as_a_letter_and_the_others_load(
    rejected: World, errors: Errors
) -> None:
    bad = await errors.announced([Failure("e1", more={"code": "c" * 33})])
    rejected.send(bad, await errors.announced([Failure("e2")]))
    await rejected.live(rejected_share_max=1.0)
    assert [row["error_id"] for row in await rejected.rows()] == ["e2"]
    [letter] = rejected.letters()
    assert (letter["layer"], letter["dataset"], letter["code"]) == ("load", "errors", "load_refused")


async def test_manifests_about_error_files_lie_in_the_refined_zone(rejected: World, errors: Errors) -> None:
    """Of the errors zone the role that copies has to read nothing but error files."""
    rejected.send(await errors.announced([Failure("e1")]))
    await rejected.live()
    sources = [copy["data_source"] for copy in await rejected.copies()]
    assert sources
    assert all(source.startswith("s3://loader/refined/_manifests/errors/") for source in sources)
