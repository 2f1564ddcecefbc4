"""The `ObjectStore` port, on the fake and on S3."""

import asyncio
import itertools
from collections.abc import Iterator

import pytest

from service.aws.s3 import S3Store
from service.core.errors import RejectedError, SetupError, TransientError
from service.core.ports import ObjectStore
from service.local.ports import HOST, free_port
from tests.contract.places import BUCKET, Place, RealPlace, clients_of

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60)]


@pytest.fixture(scope="session")
def numbers() -> Iterator[int]:
    """Numbers that no other test has."""
    return itertools.count()


@pytest.fixture
def uri(numbers: Iterator[int]) -> str:
    """An address where nothing lies."""
    return f"s3://{BUCKET}/events/dt=2026-01-01/hr=10/{next(numbers)} ñ+&'名.parquet"


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


async def test_a_store_that_nobody_answers_for_is_away() -> None:
    async with clients_of(f"http://{HOST}:{free_port(0)}") as clients:
        store = S3Store(clients.s3)
        ends = await asyncio.gather(
            store.put_new("s3://lake/key", b""), store.get("s3://lake/key"), return_exceptions=True
        )
    assert [type(end) for end in ends] == [TransientError] * 2


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
