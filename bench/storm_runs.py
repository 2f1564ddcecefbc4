"""Streams of good records, with and without a storm beside them, and what they cost.

Records and letters come at an even pace, and a stream has ended when all of it is in the warehouse. The one-machine
stack waits for batches a sixtieth of the time that production does, so a storm of 20 seconds here makes as many batches
as one of 20 minutes there.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg

from bench.storm_batches import DATASET, RECORDS_PER_MESSAGE, USUAL, Shape, Storms
from bench.storm_workers import Worker
from service.aws.redshift import read_as_text
from service.core.clock import SystemClock
from service.core.model import Outgoing
from service.core.ports import Queue
from service.local.feed import messages
from service.local.provision import RECORDS, REFINE, LocalAws
from service.local.samples.loans import loan_events
from service.local.stack import Stack

SENDS_A_SECOND = 4
LOOK_SECONDS = 0.25
PATIENCE_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Cost:
    """What a stream cost. `others_seconds` is processor time of the flow, `quarantine_seconds` that of quarantine."""

    good: int
    rejected: int
    seconds: float
    others_seconds: float
    quarantine_seconds: float
    error_files: int
    error_copies: int
    drained_seconds: float
    """From the last letter to the last error row in the warehouse."""

    @property
    def others_microseconds(self) -> float:
        """Of processor time, for each good record; there must be some."""
        return self.others_seconds / self.good * 1e6


@dataclass(frozen=True, slots=True)
class Mailed:
    """A mail, its subject in the first line, and when it came, in seconds since the epoch."""

    text: str
    at: float


class Runs:
    """Sends streams and waits for them."""

    def __init__(self, stack: Stack, aws: LocalAws, warehouse: "asyncpg.Connection[Any]") -> None:
        self._stack = stack
        self._aws = aws
        self._warehouse = warehouse
        self._storms = Storms(aws, stack.environment["ACEQUIA_RAW_ZONE"])
        self._names = (f"r{number}-" for number in itertools.count(1))
        self._clock = SystemClock()
        self.rejected = 0
        """Of all storms."""

    async def stream(
        self,
        others: Worker,
        quarantine: Worker | None,
        *,
        good: int,
        rejected: int,
        seconds: float,
        shape: Shape = USUAL,
    ) -> Cost:
        """So many good records and rejected ones, over so many seconds (0: at once)."""
        records = _good(next(self._names), good)
        letters = await self._storms.store(rejected, shape)
        self.rejected += rejected
        loaded, in_errors = await self._rows(DATASET), await self._rows("errors")
        files, copies = await self._files()
        before = others.cpu_seconds(), 0.0 if quarantine is None else quarantine.cpu_seconds()
        began = self._clock.monotonic()
        dead = await self._aws.queue(f"{REFINE}-dlq")
        await asyncio.gather(
            self._send(await self._aws.queue(RECORDS), records, seconds), self._send(dead, letters, seconds)
        )
        sent = self._clock.monotonic()

        async def all_in_errors() -> bool:
            return await self._rows("errors") >= in_errors + rejected

        async def all_loaded() -> bool:
            return await self._rows(DATASET) >= loaded + good

        await self._until("every rejected record in acequia.errors", all_in_errors)
        drained = self._clock.monotonic()
        await self._until("every good record in the warehouse", all_loaded)
        files_now, copies_now = await self._files()
        return Cost(
            good=good,
            rejected=rejected,
            seconds=self._clock.monotonic() - began,
            others_seconds=others.cpu_seconds() - before[0],
            quarantine_seconds=0.0 if quarantine is None else quarantine.cpu_seconds() - before[1],
            error_files=files_now - files,
            error_copies=copies_now - copies,
            drained_seconds=drained - sent,
        )

    async def error_rows(self) -> tuple[int, int]:
        """Rows in the warehouse, and how many fingerprints they have."""
        counted = "SELECT COUNT(*), COUNT(DISTINCT fingerprint) FROM acequia.errors"
        row = await self._warehouse.fetchrow(counted)
        assert row is not None
        return int(row[0]), int(row[1])

    def mails(self) -> list[Mailed]:
        """All that were sent, in order."""
        paths = sorted((self._stack.directory / "mail").glob("*.txt"))
        return [Mailed(path.read_text(encoding="utf-8"), path.stat().st_mtime) for path in paths]

    async def until_mailed(self) -> None:
        """Wait for the first mail."""

        async def mailed() -> bool:
            return bool(self.mails())

        await self._until("a mail", mailed)

    async def _send(self, queue: Queue, some: Sequence[Outgoing], seconds: float) -> None:
        """At an even pace."""
        began, portions = self._clock.monotonic(), max(1, round(seconds * SENDS_A_SECOND))
        for number in range(portions):
            portion = some[len(some) * number // portions : len(some) * (number + 1) // portions]
            if portion:
                await queue.send(portion)
            due = began + seconds * (number + 1) / portions
            await self._clock.sleep(max(0.0, due - self._clock.monotonic()))

    async def _rows(self, dataset: str) -> int:
        """Rows of files that are in the ledger."""
        counted = f"SELECT COALESCE(SUM(row_count), 0) FROM acequia.load_ledger_{dataset}"
        return int(await self._warehouse.fetchval(counted))

    async def _files(self) -> tuple[int, int]:
        """Error files and the COPYs that loaded them."""
        counted = "SELECT COUNT(*), COUNT(DISTINCT group_id) FROM acequia.load_ledger_errors"
        row = await self._warehouse.fetchrow(counted)
        assert row is not None
        return int(row[0]), int(row[1])

    async def _until(self, what: str, condition: Callable[[], Awaitable[bool]]) -> None:
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                while not await condition():
                    await self._clock.sleep(LOOK_SECONDS)
        except TimeoutError:
            raise TimeoutError(f"not within {PATIENCE_SECONDS} seconds: {what}") from None


@asynccontextmanager
async def open_runs(stack: Stack, aws: LocalAws) -> AsyncIterator[Runs]:
    """For the length of the block."""
    warehouse = await asyncpg.connect(stack.warehouse_dsn, statement_cache_size=0)
    await read_as_text(warehouse)
    try:
        yield Runs(stack, aws, warehouse)
    finally:
        await warehouse.close()


def _good(name: str, count: int) -> list[Outgoing]:
    """The same records in every stream, but for their ids."""
    if count == 0:
        return []
    events, _ = loan_events(applications=max(1, count // 20), events=count)
    named = (event.replace('"event_id":"', f'"event_id":"{name}', 1).encode() for event in events)
    return [one for one, _ in messages(named, dataset=DATASET, records_per_message=RECORDS_PER_MESSAGE)]
