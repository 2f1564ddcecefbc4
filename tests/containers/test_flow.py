"""Records through the image: from the queue to the table, with a drain and a kill on the way, and in little memory."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import islice

import asyncpg
import pytest

from service.core.model import Outgoing
from service.local.feed import QUEUED_MESSAGES_MAX, messages
from service.local.provision import LOAD, RECORDS, REFINE, LocalAws, open_aws
from service.local.samples.loans import loan_events
from tests.containers.container import MEMORY_BYTES, SMALL, STOP_SECONDS, Environment, worker

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

DATASET = "loan_events"
WAIT_SECONDS_MAX = 400
MEMORY_SHARE_MAX = 0.8
SIGKILLED = 128 + 9


def bodies(records: int, records_per_message: int) -> Iterator[Outgoing]:
    """Loan events, as a producer sends them."""
    events, _ = loan_events(applications=records // 15, events=records)
    lines = (event.encode() for event in islice(events, records))
    return (one for one, _ in messages(lines, dataset=DATASET, records_per_message=records_per_message))


class Place:
    """The queues and the table, from outside."""

    def __init__(self, aws: LocalAws, warehouse: "asyncpg.Connection[asyncpg.Record]") -> None:
        self._aws = aws
        self._warehouse = warehouse

    async def send(self, some: Iterator[Outgoing]) -> None:
        """All of them, never more at once than the emulator bears."""
        queue = await self._aws.queue(RECORDS)
        while ten := list(islice(some, 10)):
            while (await queue.depth()).waiting > QUEUED_MESSAGES_MAX:  # noqa: ASYNC110 (another process)
                await asyncio.sleep(0.2)
            await queue.send(ten)

    async def rows(self) -> int:
        """In the table."""
        return int(await self._warehouse.fetchval(f"SELECT COUNT(*) FROM lake.{DATASET}"))

    async def distinct(self) -> int:
        """Records in the table."""
        return int(await self._warehouse.fetchval(f"SELECT COUNT(DISTINCT _record_id) FROM lake.{DATASET}"))

    async def until(self, rows: int) -> None:
        """Wait for so many."""
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while await self.rows() < rows:  # noqa: ASYNC110 (another process)
                await asyncio.sleep(0.5)

    async def until_held(self, messages: int) -> None:
        """Wait until a worker holds so many messages of the records queue."""
        queue = await self._aws.queue(RECORDS)
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while (await queue.depth()).in_flight < messages:  # noqa: ASYNC110 (another process)
                await asyncio.sleep(0.02)

    async def left(self) -> int:
        """Messages in the working queues and behind them."""
        queues = [await self._aws.queue(name) for one in (RECORDS, REFINE, LOAD) for name in (one, f"{one}-dlq")]
        depths = [await queue.depth() for queue in queues]
        return sum(depth.waiting + depth.in_flight for depth in depths)


@asynccontextmanager
async def place(stack: Environment) -> AsyncIterator[Place]:
    async with open_aws(stack["AWS_ENDPOINT_URL"]) as aws:
        warehouse = await asyncpg.connect(stack["ACEQUIA_WAREHOUSE_DSN"], statement_cache_size=0)
        try:
            yield Place(aws, warehouse)
        finally:
            await warehouse.close()


async def test_it_drains_on_sigterm_and_loses_nothing_by_sigkill(stack: Environment) -> None:
    records = 60_000
    every = bodies(records, 50)
    async with place(stack) as here:
        with worker(stack | SMALL) as first:
            await here.send(islice(every, 200))
            await here.until(1)
            sending = asyncio.create_task(here.send(every))
            await here.until_held(1)
            assert await asyncio.to_thread(first.kill) == SIGKILLED
        assert await here.left() > 0, "it was killed at work"
        with worker(stack | SMALL) as second:
            await here.until(records // 2)
            code, seconds = await asyncio.to_thread(second.stop)
            assert (code, seconds < STOP_SECONDS) == (0, True)
            assert "service_stopped" in second.log()
        await sending
        with worker(stack | SMALL) as third:
            await here.until(records)
            assert (await asyncio.to_thread(third.stop))[0] == 0
        assert await here.distinct() == records == await here.rows()
        assert await here.left() == 0


async def test_a_million_small_records_in_half_a_gibibyte(
    stack: Environment, record_property: Callable[[str, object], None]
) -> None:
    records = 1_000_000
    async with place(stack) as here:
        with worker(stack | SMALL) as service:
            await asyncio.gather(here.send(bodies(records, 100)), here.until(records))
            peak = service.peak_bytes()
            code, _ = await asyncio.to_thread(service.stop)
        record_property("peak MiB", peak // 2**20)
        assert code == 0
        assert await here.distinct() == records == await here.rows()
        assert peak < MEMORY_SHARE_MAX * MEMORY_BYTES
