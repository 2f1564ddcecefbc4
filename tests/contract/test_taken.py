"""What S3 has at an address that is taken, and what it gives back, when something is wrong with it."""

import asyncio
import io
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from service.aws.s3 import S3Store
from service.core.errors import TransientError
from tests.contract.places import BUCKET, RealPlace, clients_of
from tests.faults.actions import answered_short, s3_error, stored_otherwise
from tests.faults.calls import Action, Answer, Call, CutError, Forward, Worker
from tests.faults.history import History, chosen
from tests.faults.http_proxy import Traffic, http_proxy
from tests.faults.rules import Rules

pytestmark = [pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(60), pytest.mark.stack]


@pytest.fixture(scope="session")
def numbers() -> Iterator[int]:
    """Numbers that no other test has."""
    return itertools.count()


@pytest.fixture
def uri(numbers: Iterator[int]) -> str:
    """An address where nothing lies."""
    return f"s3://{BUCKET}/taken/{next(numbers)}.parquet"


@asynccontextmanager
async def flawed(
    real: RealPlace, directory: Path, flaw: Action, *, at: str = "PutObject", and_then: Action | None = None
) -> AsyncIterator[tuple[S3Store, History]]:
    """The store, the first call of which (a PUT) meets a fault on its way; and what was asked of it.

    `and_then` is what the three tries of its first DELETE meet.
    """
    rules = Rules()
    rules.on(at, flaw)
    if and_then is not None:
        rules.on("DeleteObject", and_then, times=3)
    with closing(History(directory / "history")) as history:
        traffic = Traffic(history, rules, itertools.count(1), set())
        async with (
            http_proxy("s3", Worker("contract"), traffic, real.endpoint) as endpoint,
            clients_of(endpoint) as clients,
        ):
            yield S3Store(clients.s3), history


def parquet(text: str) -> bytes:
    """A small file."""
    sink = io.BytesIO()
    pq.write_table(pa.table({"body": [text]}), sink)
    return sink.getvalue()


def framed(body: bytes) -> bytes:
    """As a server stores it that does not know aws-chunked bodies."""
    return f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"


async def stored_framed_and_unheard(call: Call, forward: Forward) -> Any:
    """Other bytes are stored, and the connection breaks before the answer arrives."""
    await stored_otherwise(framed)(call, forward)
    raise CutError


async def short_and_unproven(call: Call, forward: Forward) -> Any:
    """Half of the body arrives, looks whole, and there is no checksum to hold it against."""
    answer: Answer = await answered_short(0.5)(call, forward)
    headers = {name: value for name, value in answer.headers.items() if "checksum" not in name.lower()}
    return replace(answer, headers=headers)


async def test_a_broken_object_whose_answer_was_lost_is_removed_and_ours_is_stored(
    real: RealPlace, uri: str, tmp_path: Path
) -> None:
    body = parquet("ours")
    async with flawed(real, tmp_path, stored_framed_and_unheard) as (store, history):
        with pytest.raises(TransientError, match="was not whole; it was removed"):
            await store.put_new(uri, body)
        assert await real.store.describe(uri) is None
        assert (await store.put_new(uri, body)).new
    puts = [entry.facts["status"] for entry in chosen(history.read(), "done", "PutObject")]
    assert puts == [200, 412, 200], "the SDK's second try met what the first had stored"
    assert await real.store.get(uri) == body


async def test_a_broken_object_that_could_not_be_removed_is_never_announced(
    real: RealPlace, uri: str, tmp_path: Path
) -> None:
    body = parquet("ours")
    down = s3_error("SlowDown", 503)
    async with flawed(real, tmp_path, stored_otherwise(framed), and_then=down) as (store, _):
        with pytest.raises(TransientError, match=r"remove a broken object in contract \(SlowDown\)"):
            await store.put_new(uri, body)
        assert await real.store.get(uri) == framed(body)
        with pytest.raises(TransientError, match="was not whole; it was removed"):
            await store.put_new(uri, body)
        assert (await store.put_new(uri, body)).new
    assert await real.store.get(uri) == body


async def test_another_whole_object_stays_whatever_its_bytes(real: RealPlace, uri: str) -> None:
    theirs = await real.store.put_new(uri, parquet("theirs, and longer"))
    assert await real.store.put_new(uri, parquet("ours")) == theirs
    assert await real.store.get(uri) == parquet("theirs, and longer")


async def test_of_many_whose_first_is_broken_all_describe_one_object_in_the_end(
    real: RealPlace, uri: str, tmp_path: Path
) -> None:
    """Two who find the same broken object: the slower one must not remove what the faster one has stored."""
    bodies = [parquet(text) for text in ("one", "another", "a third")]
    async with flawed(real, tmp_path, stored_framed_and_unheard) as (store, _):

        async def insist(body: bytes) -> list[str]:
            told: list[str] = []
            while len(told) < 2:
                try:
                    told.append((await store.put_new(uri, body)).etag)
                except TransientError:
                    continue
            return told

        told = await asyncio.gather(*(insist(body) for body in bodies))
    kept = await real.store.describe(uri)
    assert kept is not None
    assert {etag for some in told for etag in some} == {kept.etag}, "none was told of what is gone"
    assert await real.store.get(uri) in bodies


async def test_a_short_answer_without_a_checksum_is_asked_for_again(real: RealPlace, uri: str, tmp_path: Path) -> None:
    await real.store.put_new(uri, b"a whole object")
    async with flawed(real, tmp_path, short_and_unproven, at="GetObject") as (store, _):
        with pytest.raises(TransientError, match="gave other bytes than it keeps"):
            await store.get(uri)
        assert await store.get(uri) == b"a whole object"
