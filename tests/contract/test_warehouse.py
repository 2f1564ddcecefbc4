"""The `Warehouse` port under the load transaction, on the fake and on the Redshift stand-in.

The statements are those of `sql/statements/load.sql`, run by `service.load.commit.Commit`; the files are what refine
makes of landed messages.
"""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from service.aws.redshift import WarehouseLimits, open_warehouse
from service.core.datasets import Dataset
from service.core.definitions import load_datasets
from service.core.errors import AcequiaError, ContendedError, RejectedError, SetupError, TransientError
from service.core.model import Message
from service.core.notice import File, Replaces
from service.core.ports import Listed, Means, Statement, Stored, Warehouse
from service.core.zones import Zone, raw_key, refined_key
from service.land.encode import encode
from service.load.commit import STATEMENTS, Commit, Committed
from service.load.groups import Group
from service.load.ledger import Unit
from service.load.reasons import Reasons
from service.load.stage import Stage
from service.load.statements import Statements
from service.local.ports import HOST, free_port
from service.local.redshift.server import redshift_standin
from service.refine.compile import compile_dataset, compile_datasets
from service.refine.execute import Keys, judge
from service.refine.write import parts
from service.settings import PROJECT
from tests.contract.places import BUCKET, LIMITS, Place, RealPlace
from tests.fakes.time import InlineFanOut, InlineThreads
from tests.fakes.world import DEFINITION, event
from tests.runtime.noise import Noise

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]

RAW, REFINED = Zone("raw", BUCKET, "raw"), Zone("refined", BUCKET, "refined")
KEYS = Keys(b"i" * 32, b"m" * 32)
ROLE = "arn:aws:iam::000000000000:role/acequia-copy"
ANNOUNCED = datetime(2026, 1, 1, tzinfo=UTC)
MEMORY_BYTES = 256 * 1024 * 1024

Step = Callable[[], Awaitable[None]]


async def _nothing() -> None:
    await asyncio.sleep(0)


@dataclass
class StoreWithAStep:
    """The place's store; `step` happens before a manifest is stored: in the middle of the load transaction."""

    place: Place
    step: Step = _nothing

    async def put_new(self, uri: str, body: bytes) -> Stored:
        await self.step()
        return await self.place.store.put_new(uri, body)

    async def describe(self, uri: str) -> Stored | None:
        return await self.place.store.describe(uri)

    async def get(self, uri: str) -> bytes:
        return await self.place.store.get(uri)

    async def remove(self, uris: Sequence[str]) -> None:
        await self.place.store.remove(uris)

    def pages(self, prefix: str) -> AsyncIterator[Sequence[Listed]]:
        return self.place.store.pages(prefix)

    async def read(self, uri: str) -> tuple[bytes, str] | None:
        return await self.place.store.read(uri)

    async def replace(self, uri: str, body: bytes, *, etag: str | None) -> str | None:
        return await self.place.store.replace(uri, body, etag=etag)


class Loading:
    """A dataset of the test's own, with everything to refine records into files and to load them."""

    def __init__(self, place: Place, dataset: Dataset) -> None:
        self._place = place
        self.dataset = dataset
        self._program = compile_datasets({dataset.name: dataset})[dataset.name]
        self._numbers = itertools.count(1)
        self._raw: tuple[str, datetime] | None = None

    async def refined(self, *records: object) -> list[File]:
        """The refined files of one raw file that holds these records; later calls are of later arrivals."""
        number = next(self._numbers)
        arrived = self._place.clock.now() + timedelta(seconds=number)
        return await self._refined(f"{arrived:%Y%m%dT%H%M%S}000Z-{number:016x}", arrived, *records)

    async def _refined(self, batch_id: str, arrived: datetime, *records: object) -> list[File]:
        body = "\n".join(json.dumps(record) for record in records)
        message = Message(f"m{batch_id}", body, {}, arrived, arrived, 1, "r")
        moment = datetime.strptime(batch_id[:11], "%Y%m%dT%H").replace(tzinfo=UTC)
        uri = RAW.uri(raw_key(self.dataset.name, moment, batch_id))
        judged = judge(encode([message], "records"), uri, self._program, KEYS, MEMORY_BYTES)
        assert not judged.rejections
        return [
            await self._stored(part.partition, batch_id, part.body, part.rows)
            for part in parts(judged.good, self.dataset.event_time)
        ]

    async def _stored(self, partition: str, batch_id: str, body: bytes, rows: int) -> File:
        uri = REFINED.uri(refined_key(self.dataset.name, partition, batch_id, self.dataset.definition))
        stored = await self._place.store.put_new(uri, body)
        return File(uri, stored.etag, stored.content_length_bytes, rows)

    def replayed(self, old: Sequence[File]) -> "Loading":
        """The same dataset under another definition, about to refine the raw file of these files again."""
        again = Loading(self._place, replace(self.dataset, definition="f" * 12))
        again._raw = (old[0].uri.rpartition("/")[2].partition(".")[0], self._place.clock.now())
        return again

    async def refined_again(self, *records: object) -> list[File]:
        """The refined files of the replayed raw file."""
        assert self._raw is not None
        return await self._refined(*self._raw, *records)

    def replay(self, new: Sequence[File], old: Sequence[File]) -> Unit:
        """What the replay's notice asks for."""
        assert self._raw is not None
        batch_id = self._raw[0]
        moment = datetime.strptime(batch_id[:11], "%Y%m%dT%H").replace(tzinfo=UTC)
        raw_file = RAW.uri(raw_key(self.dataset.name, moment, batch_id))
        replaces = Replaces(raw_file, tuple(file.uri for file in old))
        return Unit(tuple(new), ANNOUNCED + timedelta(hours=1), replaces)

    async def load(self, *files: File, step: Step = _nothing) -> Committed:
        """One load transaction."""
        return await self.load_units(*(Unit((file,), ANNOUNCED) for file in files), step=step)

    async def load_units(self, *units: Unit, step: Step = _nothing) -> Committed:
        """The same for units as they are."""
        return await self.commit(step).run(self.group(*units))

    def group(self, *units: Unit) -> Group:
        """All of them in one COPY."""
        return Group(
            self.dataset,
            self.dataset.stored_columns,
            units,
            group_id=f"g-{len(units)}",
            event_time=self.dataset.event_time,
            hourly=self.dataset.partition == "hour",
        )

    def take_json_of(self, bytes_max: int) -> None:
        """Refine longer JSON from now on."""
        self._program = compile_dataset(self.dataset, super_bytes_max=bytes_max)
        self.dataset = self._program.dataset

    def commit(
        self, step: Step = _nothing, warehouse: Warehouse | None = None, *, large_strings: bool = False
    ) -> Commit:
        """The transaction's runner, as `wiring.py` builds it."""
        means = Means(
            StoreWithAStep(self._place, step), InlineThreads(), InlineFanOut(), self._place.clock, lambda _: None
        )
        statements = Statements.load(PROJECT / "sql" / "statements" / "load.sql", expected=STATEMENTS)
        stage = Stage(statements, refined=REFINED, role=ROLE, means=means)
        reached = warehouse or self._place.warehouse
        return Commit(statements, warehouse=reached, stage=stage, large_strings=large_strings, means=means)

    def reasons(self) -> Reasons:
        """Who asks the warehouse why."""
        statements = Statements.load(PROJECT / "sql" / "statements" / "load.sql", expected=STATEMENTS)
        return Reasons(statements, self._place.warehouse)

    async def event_ids(self) -> list[str]:
        """What the table holds, sorted."""
        return [row["event_id"] for row in await self._place.rows(self.dataset)]

    async def figures(self, *files: File) -> list[tuple[int, int, int] | None]:
        """Rows, inserted and duplicate of each file in the ledger; None for a file that is not there."""
        ledger = await self._place.ledger(self.dataset)
        assert set(ledger) <= {file.uri for file in files}
        return [ledger.get(file.uri) for file in files]


@pytest.fixture(scope="session")
def numbers() -> Iterator[int]:
    """Numbers that no other test has."""
    return itertools.count()


@pytest_asyncio.fixture(loop_scope="session")
async def loading(place: Place, tmp_path: Path, numbers: Iterator[int]) -> Loading:
    """The small dataset by day, under a name of the test's own."""
    return await _prepared(place, tmp_path, f"events_{next(numbers)}", DEFINITION)


@pytest_asyncio.fixture(loop_scope="session")
async def hourly(place: Place, tmp_path: Path, numbers: Iterator[int]) -> Loading:
    """The same by hour."""
    return await _prepared(place, tmp_path, f"hourly_{next(numbers)}", 'partition = "hour"\n' + DEFINITION)


@pytest_asyncio.fixture(loop_scope="session")
async def versioned(place: Place, tmp_path: Path, numbers: Iterator[int]) -> Loading:
    """The same, where the higher `amount` stays."""
    required = DEFINITION.replace('type = "integer"', 'type = "integer"\nrequired = true')
    given = f'on_duplicate = "replace"\nversion = "amount"\n{required}'
    return await _prepared(place, tmp_path, f"versioned_{next(numbers)}", given)


@pytest_asyncio.fixture(loop_scope="session")
async def windowed(place: Place, tmp_path: Path, numbers: Iterator[int]) -> Loading:
    """The same, where duplicates are looked for three days around."""
    return await _prepared(place, tmp_path, f"windowed_{next(numbers)}", "duplicate_window_days = 3\n" + DEFINITION)


async def _prepared(place: Place, directory: Path, name: str, definition: str) -> Loading:
    (directory / f"{name}.toml").write_text(definition)
    dataset = load_datasets(directory)[name]
    await place.prepare(dataset)
    return Loading(place, dataset)


async def test_the_rows_of_all_files_are_inserted_as_they_were_refined(loading: Loading, place: Place) -> None:
    files = [
        *await loading.refined(event(1, amount=-5), event(2, day=2, amount=7)),
        *await loading.refined(event(3, amount=None)),
    ]
    done = await loading.load(*files)
    assert done == Committed(files=3, known_files=0, rows=3, inserted=3, replaced=0)
    assert await loading.figures(*files) == [(1, 1, 0)] * 3
    rows = await place.rows(loading.dataset)
    assert [(row["event_id"], row["amount"]) for row in rows] == [("e001", -5), ("e002", 7), ("e003", None)]
    assert [f"{row['event_time']:%Y-%m-%d %H:%M}" for row in rows] == [
        "2025-12-01 10:00",
        "2025-12-02 10:00",
        "2025-12-01 10:00",
    ]
    assert len({row["_record_id"] for row in rows}) == 3
    assert len({row["_raw_file"] for row in rows}) == 2


async def test_a_record_twice_in_a_group_is_inserted_once_and_the_first_that_arrived_wins(
    loading: Loading, place: Place
) -> None:
    [early] = await loading.refined(event(1, amount=1), event(1, amount=1), event(2, amount=1))
    [late] = await loading.refined(event(2, amount=2), event(3, amount=2))
    assert await loading.load(late, early) == Committed(files=2, known_files=0, rows=5, inserted=3, replaced=0)
    assert await loading.figures(early, late) == [(3, 2, 1), (2, 1, 1)]
    rows = await place.rows(loading.dataset)
    assert [(row["event_id"], row["amount"]) for row in rows] == [("e001", 1), ("e002", 1), ("e003", 2)]


async def test_a_record_that_the_table_has_is_not_inserted_again(loading: Loading, place: Place) -> None:
    [first] = await loading.refined(event(1, amount=1), event(2, amount=1))
    [second] = await loading.refined(event(2, amount=2), event(3, amount=2))
    [third] = await loading.refined(event(1), event(2), event(3))
    await loading.load(first)
    assert await loading.load(second) == Committed(files=1, known_files=0, rows=2, inserted=1, replaced=0)
    assert await loading.load(third) == Committed(files=1, known_files=0, rows=3, inserted=0, replaced=0)
    assert await loading.figures(first, second, third) == [(2, 2, 0), (2, 1, 1), (3, 0, 3)]
    rows = await place.rows(loading.dataset)
    assert [(row["event_id"], row["amount"]) for row in rows] == [("e001", 1), ("e002", 1), ("e003", 2)]


async def test_files_that_the_ledger_knows_are_left_out(loading: Loading) -> None:
    [old] = await loading.refined(event(1))
    [new] = await loading.refined(event(2))
    await loading.load(old)
    assert await loading.load(old) == Committed(files=0, known_files=1, rows=0, inserted=0, replaced=0)
    assert await loading.load(old, new) == Committed(files=1, known_files=1, rows=1, inserted=1, replaced=0)
    assert await loading.figures(old, new) == [(1, 1, 0), (1, 1, 0)]
    assert await loading.event_ids() == ["e001", "e002"]


async def test_rows_are_counted_for_the_file_of_their_day(loading: Loading) -> None:
    first, second = await loading.refined(
        {"event_id": "last", "event_time": "2025-12-01T23:59:59.999999Z"},
        {"event_id": "midnight", "event_time": "2025-12-02T00:00:00Z"},
        {"event_id": "abroad", "event_time": "2025-12-01T23:30:00-02:00"},
    )
    await loading.load(first, second)
    assert await loading.figures(first, second) == [(1, 1, 0), (2, 2, 0)]


async def test_rows_are_counted_for_the_file_of_their_hour(hourly: Loading) -> None:
    moments = ["2025-12-01T09:59:59.999999Z", "2025-12-01T10:00:00Z", "2025-12-01T22:00:00Z", "2025-12-02T10:30:00Z"]
    records = [{"event_id": f"e{n}", "event_time": moment} for n, moment in enumerate(moments)]
    files = await hourly.refined(*records, records[1])
    assert [file.rows for file in files] == [1, 2, 1, 1]
    done = await hourly.load(*files)
    assert done == Committed(files=4, known_files=0, rows=5, inserted=4, replaced=0)
    assert await hourly.figures(*files) == [(1, 1, 0), (2, 1, 1), (1, 1, 0), (1, 1, 0)]


async def test_a_count_that_the_notices_do_not_say_leaves_nothing_behind(loading: Loading) -> None:
    [good] = await loading.refined(event(1))
    [file] = await loading.refined(event(2), event(3))
    with pytest.raises(RejectedError, match="COPY counted 3 rows where the notices say 4") as raised:
        await loading.load(good, replace(file, rows=3))
    assert raised.value.code == "load_refused"
    assert await loading.event_ids() == []
    assert await loading.figures() == []
    await loading.load(good, file)
    assert await loading.event_ids() == ["e001", "e002", "e003"]


async def test_a_refusal_leaves_the_session_as_new(loading: Loading) -> None:
    [file] = await loading.refined(event(1))
    with Noise() as noise:
        for _ in range(2 * LIMITS.connections_max):
            with pytest.raises(RejectedError):
                await loading.load(replace(file, rows=2))
        assert (await loading.load(file)).inserted == 1
        assert await noise.heard() == [], "the pool found a transaction that was left open"


async def test_the_same_group_loaded_twice_at_once_is_loaded_once(loading: Loading) -> None:
    files = [*await loading.refined(event(1), event(2)), *await loading.refined(event(2), event(3))]
    done = await asyncio.gather(loading.load(*files), loading.load(*files))
    assert sorted((one.files, one.known_files, one.inserted) for one in done) == [(0, 2, 0), (2, 0, 3)]
    assert await loading.event_ids() == ["e001", "e002", "e003"]
    assert await loading.figures(*files) == [(2, 2, 0), (2, 1, 1)]


async def test_groups_of_one_dataset_at_once_never_insert_a_record_twice(loading: Loading) -> None:
    files = [file for _ in range(4) for file in await loading.refined(event(1), event(2))]
    done = await asyncio.gather(*(loading.load(file) for file in files))
    assert sorted(one.inserted for one in done) == [0, 0, 0, 2]
    assert await loading.event_ids() == ["e001", "e002"]


async def test_an_outage_in_the_middle_leaves_nothing_and_frees_the_lock(loading: Loading) -> None:
    [file] = await loading.refined(event(1))

    async def away() -> None:
        raise TransientError("s3", "it is away")

    with pytest.raises(TransientError, match="it is away"):
        await loading.load(file, step=away)
    assert await loading.figures() == []
    assert (await loading.load(file)).inserted == 1


async def test_cancelling_in_the_middle_leaves_nothing_and_frees_the_lock(loading: Loading) -> None:
    [file] = await loading.refined(event(1))
    reached = asyncio.Event()

    async def hang() -> None:
        reached.set()
        await asyncio.Event().wait()

    task = asyncio.ensure_future(loading.load(file, step=hang))
    await reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await loading.figures() == []
    assert (await loading.load(file)).inserted == 1


async def amounts(loading: Loading, place: Place) -> list[tuple[str, int]]:
    return [(row["event_id"], row["amount"]) for row in await place.rows(loading.dataset)]


async def test_the_higher_version_stays_and_of_equals_the_one_that_is_there(versioned: Loading, place: Place) -> None:
    first = await versioned.refined(event(1, amount=5), event(2, amount=5), event(3, amount=5, day=2))
    await versioned.load(*first)
    later = await versioned.refined(
        event(1, amount=4), event(2, amount=6), event(2, amount=7), event(3, amount=5), event(4, amount=0)
    )
    assert await versioned.load(*later) == Committed(files=1, known_files=0, rows=5, inserted=1, replaced=1)
    assert await amounts(versioned, place) == [("e001", 5), ("e002", 7), ("e003", 5), ("e004", 0)]


async def test_rows_from_before_the_version_column_are_lower_than_any(
    place: Place, tmp_path: Path, numbers: Iterator[int]
) -> None:
    name = f"later_{next(numbers)}"
    before = await _prepared(place, tmp_path, name, DEFINITION.partition('[[column]]\nname = "amount"')[0])
    required = DEFINITION.replace('type = "integer"', 'type = "integer"\nrequired = true')
    after = await _prepared(place, tmp_path, name, f'on_duplicate = "replace"\nversion = "amount"\n{required}')
    first = await before.refined(event(1), event(2))
    old = Group(
        after.dataset, before.dataset.stored_columns, [Unit((f,), ANNOUNCED) for f in first], "g", "event_time", False
    )
    assert (await after.commit().run(old)).inserted == 2
    done = await after.load(*await after.refined(event(1, amount=5), event(3, amount=1)))
    assert (done.inserted, done.replaced) == (1, 1)
    late = await before.refined(event(1), event(4))
    again = Group(
        after.dataset, before.dataset.stored_columns, [Unit((f,), ANNOUNCED) for f in late], "h", "event_time", False
    )
    assert (await after.commit().run(again)).inserted == 1
    rows = await place.rows(after.dataset)
    assert [(row["event_id"], row.get("amount")) for row in rows] == [
        ("e001", 5),
        ("e002", None),
        ("e003", 1),
        ("e004", None),
    ]


async def test_rows_are_counted_as_their_files_were_cut_whatever_is_cut_today(hourly: Loading) -> None:
    files = await hourly.refined(
        {"event_id": "e1", "event_time": "2025-12-01T09:00:00Z"},
        {"event_id": "e2", "event_time": "2025-12-01T10:00:00Z"},
    )
    group = replace(hourly.group(*(Unit((file,), ANNOUNCED) for file in files)), hourly=True)
    await hourly.commit().run(replace(group, dataset=replace(hourly.dataset, partition="day")))
    assert await hourly.figures(*files) == [(1, 1, 0), (1, 1, 0)]


async def test_a_record_is_looked_for_around_its_event_time_where_the_dataset_says_so(
    windowed: Loading, place: Place
) -> None:
    await windowed.load(*await windowed.refined(event(1, day=10), event(2, day=10)))
    within = await windowed.load(*await windowed.refined(event(1, day=13)))
    assert within.inserted == 0
    beyond = await windowed.load(*await windowed.refined(event(2, day=14)))
    assert beyond.inserted == 1, "the documented cost of a window"
    assert len(await place.rows(windowed.dataset)) == 3


async def test_a_replay_puts_its_files_in_the_place_of_others(loading: Loading, place: Place) -> None:
    old = await loading.refined(event(1, amount=1), event(2, amount=1, day=2))
    kept = await loading.refined(event(3, amount=1), event(1, amount=9))
    await loading.load(*old, *kept)
    mended = loading.replayed(old)
    new = await mended.refined_again(event(1, amount=2), event(4, amount=2, day=3))
    unit = mended.replay(new, old)
    assert await mended.load_units(unit) == Committed(files=2, known_files=0, rows=2, inserted=1, replaced=1)
    assert await amounts(loading, place) == [("e001", 2), ("e003", 1), ("e004", 2)]
    assert [await place.store.describe(file.uri) for file in old] == [None, None]
    assert await mended.load_units(unit) == Committed(files=0, known_files=2, rows=0, inserted=0, replaced=0)
    assert (await loading.load(*old, *kept)).files == 0
    assert await amounts(loading, place) == [("e001", 2), ("e003", 1), ("e004", 2)]


async def test_a_replay_that_is_refused_takes_nothing_away(loading: Loading, place: Place) -> None:
    old = await loading.refined(event(1, amount=1))
    await loading.load(*old)
    mended = loading.replayed(old)
    [new] = await mended.refined_again(event(1, amount=2))
    with pytest.raises(RejectedError):
        await mended.load_units(mended.replay([replace(new, rows=9)], old))
    assert await amounts(loading, place) == [("e001", 1)]
    assert await place.store.describe(old[0].uri) is not None


async def test_a_replay_without_files_takes_the_rows_away(loading: Loading, place: Place) -> None:
    old = await loading.refined(event(1, amount=1))
    await loading.load(*old)
    unit = loading.replayed(old).replay([], old)
    assert await loading.load_units(unit) == Committed(files=0, known_files=0, rows=0, inserted=0, replaced=0)
    assert await amounts(loading, place) == []
    assert (await loading.load(*old)).known_files == 1


@pytest.mark.stack
class TestRedshiftAlone:
    """What the fake does not have."""

    @pytest_asyncio.fixture(loop_scope="session")
    async def loading(self, real: RealPlace, tmp_path: Path, numbers: Iterator[int]) -> Loading:
        return await _prepared(real, tmp_path, f"real_{next(numbers)}", DEFINITION)

    async def test_unmapped_fields_arrive_as_a_parsed_object(self, loading: Loading, real: RealPlace) -> None:
        nested: dict[str, Any] = {"deep": {"number": 5, "list": [1, None, 'it\'s \\ "quoted"']}, "flag": True}
        files = await loading.refined(event(1, **nested), event(2))
        await loading.load(*files)
        found = await real.fetch(
            "SELECT JSON_TYPEOF(rest) AS kind, JSON_SERIALIZE(rest) AS text "
            f'FROM lake."{loading.dataset.name}" ORDER BY event_id'
        )
        assert found[0]["kind"] == "object"
        assert json.loads(found[0]["text"]) == nested

    async def test_json_beyond_a_varchar_arrives_whole_where_the_cluster_takes_large_strings(
        self, loading: Loading, real: RealPlace
    ) -> None:
        text: dict[str, Any] = {"text": "ñ" * 100_000, "list": list(range(20_000))}
        loading.take_json_of(1_000_000)
        files = await loading.refined(event(1, **text), event(2, short=1))
        with pytest.raises(RejectedError):
            await loading.load(*files)
        standin = redshift_standin(free_port(0), real.postgres, real.endpoint, large_strings=True)
        async with standin as dsn, open_warehouse(dsn, password=None, tls=False, limits=LIMITS) as warehouse:
            commit = loading.commit(warehouse=warehouse, large_strings=True)
            done = await commit.run(loading.group(*(Unit((file,), ANNOUNCED) for file in files)))
        assert done.inserted == 2
        found = await real.fetch(
            f'SELECT rest."list"[19999] AS last FROM lake."{loading.dataset.name}" ORDER BY event_id'
        )
        assert [row["last"] for row in found] == ["19999", None]

    async def test_a_file_that_is_gone_is_refused_and_nothing_of_its_group_stays(self, loading: Loading) -> None:
        [good] = await loading.refined(event(1))
        gone = replace(good, uri=good.uri.replace("00Z-", "99Z-"))
        with pytest.raises(RejectedError) as raised:
            await loading.load(good, gone)
        assert raised.value.code == "load_refused"
        assert await loading.event_ids() == []
        assert (await loading.load(good)).inserted == 1

    async def test_a_table_that_is_not_there_is_an_operators_matter(self, loading: Loading) -> None:
        loading.dataset = replace(loading.dataset, name="nowhere")
        [file] = await loading.refined(event(1))
        with pytest.raises(SetupError, match=r"cannot ledger_lock: .*load_ledger_nowhere.*42P01"):
            await loading.load(file)

    @pytest.mark.parametrize("fault", ["drop_before_commit", "drop_after_commit"])
    async def test_a_commit_whose_answer_is_lost_is_tried_again_and_loads_once(
        self, loading: Loading, real: RealPlace, fault: str
    ) -> None:
        files = await loading.refined(event(1), event(2))
        before = real.faults.fired[fault]
        getattr(real.faults, fault)()
        with pytest.raises(TransientError):
            await loading.load(*files)
        assert real.faults.fired[fault] == before + 1
        again = await loading.load(*files)
        assert (again.files, again.known_files) == ((1, 0) if fault == "drop_before_commit" else (0, 1))
        assert await loading.event_ids() == ["e001", "e002"]
        assert await loading.figures(*files) == [(2, 2, 0)]

    async def test_a_commit_that_takes_effect_after_we_are_back_is_waited_for_at_the_ledger(
        self, loading: Loading, real: RealPlace
    ) -> None:
        files = await loading.refined(event(1))
        real.faults.delay_commit(until="load_ledger")
        with pytest.raises(TransientError):
            await loading.load(*files)
        again = await loading.load(*files)
        assert (again.files, again.known_files) == (0, 1)
        assert await loading.event_ids() == ["e001"]

    @pytest.mark.parametrize("statement", ["COPY", "INSERT INTO"])
    async def test_a_serializable_violation_passes_the_next_time(
        self, loading: Loading, real: RealPlace, statement: str
    ) -> None:
        files = await loading.refined(event(1))
        real.faults.violate(statement)
        with pytest.raises(TransientError):
            await loading.load(*files)
        await loading.load(*files)
        assert await loading.event_ids() == ["e001"]

    async def test_a_copy_that_may_not_read_s3_is_an_operators_matter_and_no_bad_file(
        self, loading: Loading, real: RealPlace
    ) -> None:
        files = await loading.refined(event(1))
        real.faults.fail_copy(files[0].uri)
        with pytest.raises(SetupError):
            await loading.load(*files)
        await loading.load(*files)
        assert await loading.event_ids() == ["e001"]

    async def test_a_file_that_copy_refuses_leaves_nothing_of_its_group(
        self, loading: Loading, real: RealPlace
    ) -> None:
        good, bad = [*await loading.refined(event(1)), *await loading.refined(event(2))]
        real.faults.fail_copy(bad.uri, error="The length of the data column x is longer than the table's.", times=2)
        with pytest.raises(RejectedError) as raised:
            await loading.load(good, bad)
        assert raised.value.code == "load_refused"
        assert await loading.event_ids() == []
        with pytest.raises(RejectedError):
            await loading.load(bad)
        assert await loading.reasons().named([Unit((one,), ANNOUNCED) for one in (good, bad)], raised.value) == [
            Unit((bad,), ANNOUNCED)
        ]
        explained = await loading.reasons().explained(Unit((bad,), ANNOUNCED), raised.value)
        assert "The length of the data column x is longer than the table" in explained.sentence
        await loading.load(good)
        assert await loading.event_ids() == ["e001"]

    async def test_who_waits_for_the_ledger_in_vain_is_told_who_has_it(self, loading: Loading, real: RealPlace) -> None:
        [file] = await loading.refined(event(1))
        impatient = WarehouseLimits(connections_max=2, statement_seconds_max=2)
        async with (
            real.session() as other,
            open_warehouse(real.dsn, password=None, tls=False, limits=impatient) as warehouse,
        ):
            async with other.transaction():
                await other.execute(f'LOCK TABLE acequia."load_ledger_{loading.dataset.name}"')
                holder = other.get_server_pid()
                with pytest.raises(ContendedError) as raised:
                    await loading.commit(warehouse=warehouse).run(loading.group(Unit((file,), ANNOUNCED)))
            assert f"acequia.load_ledger_{loading.dataset.name} is locked by process {holder} of user" in str(
                raised.value
            )
            assert f"pg_terminate_backend({holder})" in str(raised.value)
        assert (await loading.load(file)).inserted == 1

    async def test_a_session_that_is_cut_is_an_outage_and_the_next_try_loads(
        self, loading: Loading, real: RealPlace
    ) -> None:
        [file] = await loading.refined(event(1))
        with pytest.raises(TransientError):
            await loading.load(file, step=real.cut_every_session)
        assert await loading.figures() == []
        assert (await loading.load(file)).inserted == 1

    async def test_a_session_that_was_cut_while_idle_costs_at_most_one_try(
        self, loading: Loading, real: RealPlace
    ) -> None:
        [first] = await loading.refined(event(1))
        [second] = await loading.refined(event(2))
        await loading.load(first)
        await real.cut_every_session()
        tries = 0
        while True:
            tries += 1
            try:
                await loading.load(second)
            except TransientError:
                continue
            break
        assert tries <= 1 + LIMITS.connections_max
        assert await loading.event_ids() == ["e001", "e002"]

    async def test_a_warehouse_that_nobody_answers_for_is_away(self) -> None:
        dsn = f"postgresql://acequia@{HOST}:{free_port(0)}/acequia"
        async with open_warehouse(dsn, password=None, tls=False, limits=LIMITS) as warehouse:
            with pytest.raises(TransientError, match=r"could not connect \(ConnectionRefusedError\)"):
                async with warehouse.transaction() as session:
                    await session.execute(Statement("never", "SELECT 1"))

    @pytest.mark.parametrize(
        ("sql", "kind"),
        [
            ("SELECT 'a value'::integer", RejectedError),
            ("SELECT 1 / 0", RejectedError),
            ("SELECT * FROM nowhere", SetupError),
            ("SELECT pg_read_file('/etc/passwd')", SetupError),
            ("no SQL at all", SetupError),
        ],
    )
    async def test_a_statement_that_fails_is_of_our_kind_and_the_session_can_be_used_again(
        self, real: RealPlace, sql: str, kind: type[AcequiaError]
    ) -> None:
        with pytest.raises(kind, match=r"^(?!.*a value)"):
            async with real.warehouse.transaction() as session:
                await session.fetch(Statement("ask", sql))
        async with real.warehouse.transaction() as session:
            assert await session.fetch(Statement("ask", "SELECT 1, 'two'")) == [(1, "two")]
