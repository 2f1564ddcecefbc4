"""The `Warehouse` port under the load transaction, on the fake and on the Redshift stand-in.

The statements are those of `sql/statements/load.sql`, run by `service.load.commit.Commit`; the files are what refine
makes of landed messages.
"""

import asyncio
import itertools
import json
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from service.aws.redshift import open_warehouse
from service.core.datasets import Dataset
from service.core.definitions import load_datasets
from service.core.errors import AcequiaError, RejectedError, SetupError, TransientError
from service.core.model import Message
from service.core.notice import File
from service.core.ports import Means, Statement, Stored
from service.core.zones import Zone, raw_key, refined_key
from service.land.encode import encode
from service.load.commit import STATEMENTS, Commit, Committed, Group
from service.load.statements import Statements
from service.local.ports import HOST, free_port
from service.refine.compile import compile_datasets
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


class Loading:
    """A dataset of the test's own, with everything to refine records into files and to load them."""

    def __init__(self, place: Place, dataset: Dataset) -> None:
        self._place = place
        self.dataset = dataset
        self._program = compile_datasets({dataset.name: dataset})[dataset.name]
        self._numbers = itertools.count(1)

    async def refined(self, *records: object) -> list[File]:
        """The refined files of one raw file that holds these records; later calls are of later arrivals."""
        number = next(self._numbers)
        arrived = self._place.clock.now() + timedelta(seconds=number)
        body = "\n".join(json.dumps(record) for record in records)
        message = Message(f"m{number}", body, {}, arrived, arrived, 1, "r")
        batch_id = f"{arrived:%Y%m%dT%H%M%S}000Z-{number:016x}"
        uri = RAW.uri(raw_key(self.dataset.name, arrived, batch_id))
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

    async def load(self, *files: File, step: Step = _nothing) -> Committed:
        """One load transaction."""
        commit = self.commit(step)
        return await commit.run(Group(self.dataset, self.dataset.stored_columns, files, f"group-{files[0].rows}"))

    def commit(self, step: Step = _nothing) -> Commit:
        """The transaction's runner, as `wiring.py` builds it."""
        means = Means(
            StoreWithAStep(self._place, step), InlineThreads(), InlineFanOut(), self._place.clock, lambda _: None
        )
        statements = Statements.load(PROJECT / "sql" / "statements" / "load.sql", expected=STATEMENTS)
        return Commit(statements, warehouse=self._place.warehouse, refined=REFINED, role=ROLE, means=means)

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
    assert done == Committed(files=3, known_files=0, rows=3, inserted=3)
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
    assert await loading.load(late, early) == Committed(files=2, known_files=0, rows=5, inserted=3)
    assert await loading.figures(early, late) == [(3, 2, 1), (2, 1, 1)]
    rows = await place.rows(loading.dataset)
    assert [(row["event_id"], row["amount"]) for row in rows] == [("e001", 1), ("e002", 1), ("e003", 2)]


async def test_a_record_that_the_table_has_is_not_inserted_again(loading: Loading, place: Place) -> None:
    [first] = await loading.refined(event(1, amount=1), event(2, amount=1))
    [second] = await loading.refined(event(2, amount=2), event(3, amount=2))
    [third] = await loading.refined(event(1), event(2), event(3))
    await loading.load(first)
    assert await loading.load(second) == Committed(files=1, known_files=0, rows=2, inserted=1)
    assert await loading.load(third) == Committed(files=1, known_files=0, rows=3, inserted=0)
    assert await loading.figures(first, second, third) == [(2, 2, 0), (2, 1, 1), (3, 0, 3)]
    rows = await place.rows(loading.dataset)
    assert [(row["event_id"], row["amount"]) for row in rows] == [("e001", 1), ("e002", 1), ("e003", 2)]


async def test_files_that_the_ledger_knows_are_left_out(loading: Loading) -> None:
    [old] = await loading.refined(event(1))
    [new] = await loading.refined(event(2))
    await loading.load(old)
    assert await loading.load(old) == Committed(files=0, known_files=1, rows=0, inserted=0)
    assert await loading.load(old, new) == Committed(files=1, known_files=1, rows=1, inserted=1)
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
    assert done == Committed(files=4, known_files=0, rows=5, inserted=4)
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
        explained = await loading.commit().explained(bad, raised.value)
        assert "The length of the data column x is longer than the table" in explained.sentence
        await loading.load(good)
        assert await loading.event_ids() == ["e001"]

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
