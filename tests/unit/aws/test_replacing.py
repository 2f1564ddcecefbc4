"""What compare and set makes of the answers that the emulator does not give; and listings in odd pages."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, Self

import pytest
from botocore.exceptions import ClientError

from service.aws.s3 import S3Store
from service.core.errors import SetupError, TransientError
from service.core.ports import Listed
from tests.fakes.time import run_virtual

OURS, THEIRS = b"ours", b"theirs"
FASTER = ["PreconditionFailed", "412", "ConditionalRequestConflict", "409", "NoSuchKey"]


class _Body:
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        return

    async def read(self) -> bytes:
        return self._body


class Client:
    """Refuses every PUT with a code; `lies` is what then lies there."""

    def __init__(self, code: str, lies: bytes | None) -> None:
        self._code = code
        self._lies = lies
        self.conditions: list[dict[str, str]] = []

    async def put_object(self, *, Bucket: str, Key: str, Body: bytes, **condition: str) -> None:  # noqa: N803
        self.conditions.append(condition)
        raise ClientError({"Error": {"Code": self._code}}, "PutObject")

    async def get_object(self, *, Bucket: str, Key: str) -> dict[str, Any]:  # noqa: N803
        if self._lies is None:
            raise ClientError({"Error": {"Code": "NoSuchKey"}}, "GetObject")
        return {"Body": _Body(self._lies), "ETag": '"lies"'}


def replaced(client: Any, etag: str | None = "old") -> str | None:
    return asyncio.run(S3Store(client).replace("s3://b/k", OURS, etag=etag))


@pytest.mark.parametrize("code", FASTER)
@pytest.mark.parametrize(("lies", "told"), [(THEIRS, None), (None, None), (OURS, "lies")], ids=repr)
def test_who_was_faster_is_told_by_what_lies_there(code: str, lies: bytes | None, told: str | None) -> None:
    assert replaced(Client(code, lies)) == told


@pytest.mark.parametrize(
    ("etag", "condition"), [("old", {"IfMatch": '"old"'}), (None, {"IfNoneMatch": "*"})], ids=["changed", "new"]
)
def test_the_condition_is_an_etag_or_that_nothing_lies_there(etag: str | None, condition: dict[str, str]) -> None:
    client = Client("PreconditionFailed", THEIRS)
    replaced(client, etag)
    assert client.conditions == [condition]


@pytest.mark.parametrize(
    ("code", "kind"), [("SlowDown", TransientError), ("AccessDenied", SetupError), ("NoSuchBucket", SetupError)]
)
def test_another_refusal_is_nobody_being_faster(code: str, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        replaced(Client(code, OURS))


class Garbling:
    """Keeps other bytes than were sent; there is nothing else that may be called."""

    async def put_object(self, **_: Any) -> dict[str, str]:
        return {"ETag": '"new"', "ChecksumCRC32": "AAAAAA=="}


def test_a_state_that_the_store_garbled_is_not_removed() -> None:
    with pytest.raises(TransientError, match="kept other bytes"):
        replaced(Garbling())


class Lister:
    """Gives its pages by token, and notes what it was asked."""

    def __init__(self, pages: list[dict[str, Any]]) -> None:
        self._pages = pages
        self.asked: list[dict[str, str]] = []

    async def list_objects_v2(self, **given: str) -> dict[str, Any]:
        self.asked.append(given)
        return self._pages[int(given.get("ContinuationToken", 0))]


def _one(key: str, stored_at: datetime) -> dict[str, Any]:
    return {"Key": key, "Size": len(key), "LastModified": stored_at, "ETag": '"x"'}


async def _pages(client: Any) -> list[list[Listed]]:
    return [list(page) async for page in S3Store(client).pages("s3://b/a/")]


def test_a_listing_follows_the_tokens_and_leaves_out_empty_pages() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    client = Lister(
        [
            {"Contents": [_one("a/1", noon.astimezone(timezone(timedelta(hours=2))))], "NextContinuationToken": "1"},
            {"KeyCount": 0, "NextContinuationToken": "2"},
            {"Contents": [_one("a/22", noon)]},
        ]
    )
    pages = asyncio.run(_pages(client))
    assert pages == [[Listed("s3://b/a/1", 3, noon)], [Listed("s3://b/a/22", 4, noon)]]
    assert all(one.stored_at.tzinfo is UTC for page in pages for one in page)
    place = {"Bucket": "b", "Prefix": "a/"}
    assert client.asked == [place, place | {"ContinuationToken": "1"}, place | {"ContinuationToken": "2"}]


def test_a_listing_that_nobody_reads_on_asks_for_nothing_more() -> None:
    client = Lister([{"NextContinuationToken": "1", "Contents": [_one("a/1", datetime.now(UTC))]}])

    async def first() -> None:
        async for _ in S3Store(client).pages("s3://b/a/"):
            break

    asyncio.run(first())
    assert len(client.asked) == 1


class Silent:
    """Never answers, whatever is asked."""

    def __getattr__(self, name: str) -> Callable[..., Awaitable[None]]:
        async def call(**_: Any) -> None:
            await asyncio.Event().wait()

        return call


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.read("s3://b/k"),
        lambda store: store.replace("s3://b/k", OURS, etag=None),
        lambda store: anext(store.pages("s3://b/k")),
    ],
    ids=["read", "replace", "pages"],
)
def test_a_store_that_never_answers_is_away(call: Callable[[S3Store], Any]) -> None:
    async def ask() -> None:
        await call(S3Store(Silent()))

    with pytest.raises(TransientError, match=r"in b \(TimeoutError\)"):
        run_virtual(ask())
