"""The `ObjectStore` port, on the fake and on S3."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from datetime import UTC, timedelta
from pathlib import Path

import pytest

from service.aws.s3 import S3Store
from service.core.errors import RejectedError, SetupError, TransientError
from service.core.ports import Listed, ObjectStore
from service.local.ports import HOST, free_port
from tests.contract.places import BUCKET, Place, RealPlace, clients_of
from tests.faults.actions import drop, s3_error
from tests.faults.calls import Action, Worker
from tests.faults.history import History
from tests.faults.http_proxy import Traffic, http_proxy
from tests.faults.rules import Rules

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]

MORE_THAN_A_PAGE = 1_001
PUTS_AT_ONCE = 77
CLOCK_SLACK = timedelta(seconds=1)
"""S3 lists whole seconds; the emulator lists milliseconds."""


@pytest.fixture(scope="session")
def numbers() -> Iterator[int]:
    """Numbers that no other test has."""
    return itertools.count()


@pytest.fixture
def uri(numbers: Iterator[int]) -> str:
    """An address where nothing lies."""
    return f"s3://{BUCKET}/events/dt=2026-01-01/hr=10/{next(numbers)} ñ+&'名"


@pytest.fixture
def store(place: Place) -> ObjectStore:
    """Where objects go."""
    return place.store


@pytest.mark.parametrize(
    "body", [b"", bytes(range(256)), b"\r\n0\r\nx-amz" * 300_000], ids=["empty", "every byte", "larger than one write"]
)
async def test_an_object_comes_back_byte_for_byte(store: ObjectStore, uri: str, body: bytes) -> None:
    stored = await store.put_new(uri, body)
    assert (stored.uri, stored.content_length_bytes) == (uri, len(body))
    assert await store.get(uri) == body


async def test_an_object_that_lies_there_is_kept_and_described(store: ObjectStore, uri: str) -> None:
    first = await store.put_new(uri, b"the first")
    second = await store.put_new(uri, b"a second, longer one")
    assert second == first
    assert (first.new, second.new) == (True, False)
    assert first.content_length_bytes == len(b"the first")
    assert first.etag
    assert '"' not in first.etag
    assert await store.get(uri) == b"the first"


async def test_other_bytes_have_another_etag(store: ObjectStore, uri: str) -> None:
    first, second = await store.put_new(uri, b"one"), await store.put_new(uri + ".other", b"two")
    assert first.etag != second.etag


async def test_of_many_who_store_at_one_address_all_describe_the_object_that_is_kept(
    store: ObjectStore, uri: str
) -> None:
    bodies = [bytes([65 + number]) * (number + 1) for number in range(8)]
    described = await asyncio.gather(*(store.put_new(uri, body) for body in bodies))
    kept = await store.get(uri)
    assert kept in bodies
    assert {one.content_length_bytes for one in described} == {len(kept)}
    assert len({one.etag for one in described}) == 1


async def test_where_nothing_lies_the_item_is_rejected(store: ObjectStore, uri: str) -> None:
    with pytest.raises(RejectedError) as raised:
        await store.get(uri)
    assert raised.value.code == "missing_object"
    assert uri not in str(raised.value)


@pytest.mark.stack
async def test_a_bucket_that_does_not_exist_is_an_operators_matter(real: RealPlace) -> None:
    with pytest.raises(SetupError, match="store an object in absent: the bucket does not exist"):
        await real.store.put_new("s3://absent/key", b"")
    with pytest.raises(SetupError, match="read an object in absent: the bucket does not exist"):
        await real.store.get("s3://absent/key")
    with pytest.raises(SetupError, match="read an object in absent: the bucket does not exist"):
        await real.store.read("s3://absent/key")
    for etag in (None, "0" * 32):
        with pytest.raises(SetupError, match="replace an object in absent: the bucket does not exist"):
            await real.store.replace("s3://absent/key", b"", etag=etag)
    with pytest.raises(SetupError, match="list objects in absent: the bucket does not exist"):
        await listed(real.store, "s3://absent/")


async def test_a_store_that_nobody_answers_for_is_away() -> None:
    async with clients_of(f"http://{HOST}:{free_port(0)}") as clients:
        store = S3Store(clients.s3)
        ends = await asyncio.gather(
            store.put_new("s3://lake/key", b""),
            store.get("s3://lake/key"),
            store.read("s3://lake/key"),
            store.replace("s3://lake/key", b"", etag=None),
            listed(store, "s3://lake/"),
            return_exceptions=True,
        )
    assert [type(end) for end in ends] == [TransientError] * 5


async def test_what_is_removed_is_gone_and_may_be_stored_anew(store: ObjectStore, uri: str) -> None:
    kept = await store.put_new(uri + ".kept", b"kept")
    await store.put_new(uri, b"one")
    await store.remove([uri, uri + ".never there"])
    assert await store.describe(uri) is None
    assert await store.describe(uri + ".kept") == kept
    await store.put_new(uri, b"another")
    assert await store.get(uri) == b"another"


async def test_nothing_to_remove_is_no_call(store: ObjectStore) -> None:
    await store.remove([])


async def listed(store: ObjectStore, prefix: str) -> list[list[Listed]]:
    """All pages."""
    return [list(page) async for page in store.pages(prefix)]


class TestReplacing:
    """Compare and set.

    AWS differs from the emulator: where a conflicting write is under way it answers 409. That is arranged below, and
    in `tests/unit/aws/test_replacing.py`.
    """

    async def test_what_is_read_is_the_object_and_the_etag_that_storing_told(
        self, store: ObjectStore, uri: str
    ) -> None:
        stored = await store.put_new(uri, b"the first")
        assert await store.read(uri) == (b"the first", stored.etag)
        assert await store.read(uri + ".never there") is None

    async def test_an_object_that_nobody_changed_is_replaced(self, store: ObjectStore, uri: str) -> None:
        first = (await store.put_new(uri, b"the first")).etag
        second = await store.replace(uri, b"the second", etag=first)
        assert second not in {None, first}
        assert await store.read(uri) == (b"the second", second)
        third = await store.replace(uri, b"the third", etag=second)
        assert await store.read(uri) == (b"the third", third)

    async def test_an_object_that_somebody_changed_is_left_as_it_is(self, store: ObjectStore, uri: str) -> None:
        first = (await store.put_new(uri, b"the first")).etag
        second = await store.replace(uri, b"the second", etag=first)
        assert await store.replace(uri, b"too late", etag=first) is None
        assert await store.read(uri) == (b"the second", second)

    async def test_with_no_etag_it_is_stored_only_where_nothing_lies(self, store: ObjectStore, uri: str) -> None:
        first = await store.replace(uri, b"the first", etag=None)
        assert await store.replace(uri, b"too late", etag=None) is None
        assert await store.read(uri) == (b"the first", first)

    async def test_an_object_that_is_gone_is_not_made_anew(self, store: ObjectStore, uri: str) -> None:
        first = (await store.put_new(uri, b"the first")).etag
        await store.remove([uri])
        assert await store.replace(uri, b"the second", etag=first) is None
        assert await store.read(uri) is None

    @pytest.mark.parametrize("there", [True, False], ids=["an object", "nothing"])
    async def test_our_own_bytes_lying_there_are_a_success(self, store: ObjectStore, uri: str, there: bool) -> None:  # noqa: FBT001
        etag = (await store.put_new(uri, b"the first")).etag if there else None
        ours = await store.replace(uri, b"ours", etag=etag)
        assert ours is not None
        assert await store.replace(uri, b"ours", etag=etag) == ours

    @pytest.mark.parametrize("there", [True, False], ids=["an object", "nothing"])
    async def test_of_many_who_replace_the_same_object_one_wins(
        self,
        store: ObjectStore,
        uri: str,
        there: bool,  # noqa: FBT001
    ) -> None:
        etag = (await store.put_new(uri, b"the first")).etag if there else None
        bodies = [f"number {number}".encode() for number in range(8)]
        told = await asyncio.gather(*(store.replace(uri, body, etag=etag) for body in bodies))
        [winner] = [number for number, new in enumerate(told) if new is not None]
        assert await store.read(uri) == (bodies[winner], told[winner])


@asynccontextmanager
async def flawed(real: RealPlace, directory: Path, flaw: Action) -> AsyncIterator[tuple[S3Store, History]]:
    """The store, the first PUT of which meets a fault on its way; and what was asked of it."""
    history, rules = History(directory / "history"), Rules()
    rules.on("PutObject", flaw)
    traffic = Traffic(history, rules, itertools.count(1), set())
    async with (
        http_proxy("s3", Worker("contract"), traffic, real.endpoint) as endpoint,
        clients_of(endpoint) as clients,
    ):
        yield S3Store(clients.s3), history
    history.close()


def puts(history: History) -> list[int]:
    """What the store behind answered to each PUT that came as far."""
    return [one.facts["status"] for one in history.read() if one.what == "done" and one.operation == "PutObject"]


@pytest.mark.stack
@pytest.mark.parametrize("there", [True, False], ids=["an object", "nothing"])
async def test_a_replacement_whose_answer_is_lost_is_known_as_ours(
    real: RealPlace,
    uri: str,
    tmp_path: Path,
    there: bool,  # noqa: FBT001
) -> None:
    etag = (await real.store.put_new(uri, b"the first")).etag if there else None
    async with flawed(real, tmp_path, drop) as (store, history):
        ours = await store.replace(uri, b"ours", etag=etag)
    assert puts(history) == [200, 412], "the SDK tried again, and met what it had stored"
    assert await real.store.read(uri) == (b"ours", ours)


@pytest.mark.stack
async def test_a_write_beside_ours_is_somebody_being_faster_and_the_sdk_does_not_insist(
    real: RealPlace, uri: str, tmp_path: Path
) -> None:
    first = (await real.store.put_new(uri, b"the first")).etag
    async with flawed(real, tmp_path, s3_error("ConditionalRequestConflict", 409)) as (store, history):
        assert await store.replace(uri, b"ours", etag=first) is None
        assert puts(history) == []
        assert await store.replace(uri, b"ours", etag=first) is not None


class TestListing:
    async def test_what_begins_so_is_listed_in_the_order_of_the_keys_bytes(self, store: ObjectStore, uri: str) -> None:
        names = ["b/2", "b/10", "b.json", "b/\U0001f600", "b/\uffee", "b/a%20+&'\"<x>", "a/1", "c", "B/1"]
        for name in names:
            await store.put_new(f"{uri}/{name}", name.encode())
        [page] = await listed(store, f"{uri}/b")
        wanted = sorted((name for name in names if name.startswith("b")), key=str.encode)
        assert [one.uri for one in page] == [f"{uri}/{name}" for name in wanted]
        assert [one.content_length_bytes for one in page] == [len(name.encode()) for name in wanted]

    async def test_where_nothing_begins_so_there_is_no_page(self, store: ObjectStore, uri: str) -> None:
        assert await listed(store, uri) == []

    async def test_a_listed_time_is_that_of_storing_or_replacing_in_utc(
        self, store: ObjectStore, uri: str, place: Place
    ) -> None:
        before = place.clock.now()
        etag = (await store.put_new(uri, b"one")).etag
        [[one]] = await listed(store, uri)
        assert one.stored_at.tzinfo is UTC
        assert before - CLOCK_SLACK <= one.stored_at <= place.clock.now() + CLOCK_SLACK
        other, number = one, 0
        while other.stored_at == one.stored_at:  # at most until the next whole second
            number += 1
            etag = await store.replace(uri, str(number).encode(), etag=etag) or ""
            [[other]] = await listed(store, uri)
        assert one.stored_at < other.stored_at <= place.clock.now() + CLOCK_SLACK
        assert other.content_length_bytes == len(str(number))

    async def test_more_than_a_page_is_listed_page_by_page_each_object_once(self, store: ObjectStore, uri: str) -> None:
        uris = [f"{uri}/{number:04d}" for number in range(MORE_THAN_A_PAGE)]
        for start in range(0, len(uris), PUTS_AT_ONCE):
            await asyncio.gather(*(store.put_new(one, b"") for one in uris[start : start + PUTS_AT_ONCE]))
        pages = await listed(store, f"{uri}/")
        assert [len(page) for page in pages] == [1_000, 1]
        assert [one.uri for page in pages for one in page] == uris
        await store.remove(uris)
        assert await listed(store, f"{uri}/") == []
