"""One bad file in a group of 500: the warehouse's own log counts the attempts that it took to find it."""

import asyncio
import math
from collections.abc import Mapping

import pytest
import pytest_asyncio

from service.core.datasets import Dataset
from tests.loader.account import Account
from tests.loader.files import CODES, SECRET, TODAY, Batch, Event, Fault, notice
from tests.loader.world import Stack, World

pytestmark = [pytest.mark.stack, pytest.mark.asyncio(loop_scope="session"), pytest.mark.timeout(120)]

GOOD = 499
UPLOADS = 20
WORDS: Mapping[Fault, str] = {
    "too_long": "The length of the data column note is longer than the length defined in the table",
    "broken_json": "the warehouse refused the data",
    "null": "the warehouse refused the data",
}
"""What the letter says: Redshift's words where it has written some about the file."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def good(stack: Stack, datasets: Mapping[str, Dataset]) -> Account:
    """All files but one, each of a batch of its own."""
    account = Account()

    async def store(batch: Batch) -> None:
        record = Event(2 * batch.number)
        files = await stack.lake.refined(batch, [record])
        account.add(batch, TODAY, files, [record], {})
        account.notices.append(notice(batch, files))

    for _ in range(0, GOOD, UPLOADS):
        batches = [
            Batch(datasets["events"].name, next(stack.numbers))
            for _ in range(min(UPLOADS, GOOD - len(account.notices)))
        ]
        await asyncio.gather(*map(store, batches))
    return account


@pytest.mark.parametrize(
    ("fault", "files_in_all", "position", "attempts_max"),
    [("too_long", 500, 250, 3), ("broken_json", 500, 498, 2 * math.log2(500)), ("null", 60, 0, 2 * math.log2(60))],
)
async def test_the_guilty_one_of_many_is_found_in_few_attempts(
    world: World, good: Account, fault: Fault, files_in_all: int, position: int, attempts_max: float
) -> None:
    batch = Batch(world.dataset.name, next(world.stack.numbers))
    files = await world.stack.lake.refined(batch, [Event(0)], TODAY, {Event(0).partition: fault})
    account = Account(dict([*good.made.items()][: files_in_all - 1]), good.notices[: files_in_all - 1])
    account.add(batch, TODAY, files, [Event(0)], {Event(0).partition: fault})
    account.notices.insert(position, notice(batch, files))
    assert len(account.notices) == len(account.made) == files_in_all
    world.send(*account.notices)
    before = len(await world.copies())
    await world.live(load_batch_files_max=files_in_all, load_batch_seconds_max=20)
    copies = (await world.copies())[before:]
    await account.check(world)
    [letter] = world.letters()
    assert letter["code"] == CODES[fault]
    assert WORDS[fault] in letter["sentence"]
    assert SECRET not in letter["sentence"]
    assert copies[0]["source_file_count"] == files_in_all
    assert len(copies) <= attempts_max
