"""One run of the main job against a worker that runs: feed it, watch it, ask the warehouse."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import aiohttp
import asyncpg
from rich.console import Console

from service.aws.redshift import read_as_text
from service.aws.sqs import queue_url
from service.core.clock import SystemClock
from service.core.datasets import Dataset
from service.core.errors import SetupError
from service.local.feed import QUEUED_MESSAGES_MAX, feed, messages, read_lines
from service.local.letters import quarantined_by_code, rejected_by_code
from service.local.processes import Child
from service.local.provision import LOAD, RECORDS, REFINE, open_aws
from service.local.questions import questions
from service.local.samples.onboarding import sample_lines
from service.local.show import Bars, Sum, show_answer, take_sum
from service.local.stack import Stack
from service.local.watch import Counts, scrape

QUARANTINE_SECONDS_MAX = 60
"""Until the last dead letter is a row of the errors table."""
LOOK_SECONDS = 0.2
QUIET_SECONDS = 3
"""After that long without a movement, empty queues mean that nothing more will come."""
STUCK_SECONDS = 90


@dataclass(frozen=True, slots=True)
class Work:
    """What to send (sample events where no file is given), and the last step to wait for."""

    dataset: Dataset
    input: Path | None
    records_per_message: int
    steps: tuple[str, ...]
    sql_directory: Path
    quarantined: bool
    """Whether the layer runs that takes dead letters."""


@dataclass(frozen=True, slots=True)
class Running:
    """The worker's process and where it shows its counters."""

    process: Child
    metrics_url: str


class Job:
    """Feeding, watching, asking: use it as a context, which opens and closes its connections."""

    def __init__(self, work: Work, running: Running, stack: Stack, console: Console) -> None:
        self._work = work
        self._running = running
        self._stack = stack
        self._console = console
        self._counts = Counts()
        self._sent_messages = 0
        self._sent_records = 0
        self._all_sent = False
        self._looked = asyncio.Event()
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._http = await self._exits.enter_async_context(aiohttp.ClientSession())
        self._aws = await self._exits.enter_async_context(open_aws(self._stack.aws_endpoint))
        self._queue = await self._aws.queue(RECORDS)
        self._warehouse = await asyncpg.connect(self._stack.warehouse_dsn, statement_cache_size=0)
        self._exits.push_async_callback(self._warehouse.close)
        await read_as_text(self._warehouse)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._exits.aclose()

    async def run(self) -> Sum:
        """Feed everything and wait until it has gone through; what became of it."""
        bars = Bars(self._console, self._work.steps)
        with bars.progress:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._feed())
                group.create_task(self._watch(bars, self._work.steps[-1]))
        rejected = await self._rejected()
        last = self._work.steps[-1]
        waiting = self._totals()[last] - (self._counts.rejected_total if last == "refined" else 0)
        return await take_sum(
            self._warehouse,
            self._work.dataset.name,
            self._sent_records,
            rejected,
            waiting=0 if last == "loaded" else waiting,
        )

    async def _rejected(self) -> dict[str, int]:
        """Rejected records by code: from the dead letters, or from the errors table where a layer takes them there."""
        dead = [f"{name}-dlq" for name in (RECORDS, REFINE, LOAD)]
        if not self._work.quarantined:
            return await rejected_by_code([await self._aws.queue(name) for name in dead])
        until = SystemClock().monotonic() + QUARANTINE_SECONDS_MAX
        while await self._held([*dead, LOAD]) and SystemClock().monotonic() < until:  # noqa: ASYNC110 (a queue's depth)
            await asyncio.sleep(LOOK_SECONDS)
        return await quarantined_by_code(self._warehouse)

    async def answer_questions(self) -> None:
        """Three questions that an analyst would ask."""
        for question, statement in questions(self._work.sql_directory, self._work.dataset):
            await show_answer(self._console, self._warehouse, question, statement)

    async def _feed(self) -> None:
        work = self._work
        lines = read_lines(work.input) if work.input is not None else sample_lines()
        source = messages(lines, dataset=work.dataset.name, records_per_message=work.records_per_message)
        await feed(self._queue, source, room=self._room, sent=self._sent)
        self._all_sent = True

    async def _room(self, messages_wanted: int) -> None:
        while self._sent_messages + messages_wanted - self._counts.received > QUEUED_MESSAGES_MAX:
            self._looked.clear()
            await self._looked.wait()

    def _sent(self, message_count: int, records: int) -> None:
        self._sent_messages += message_count
        self._sent_records += records

    async def _watch(self, bars: Bars, last: str) -> None:
        """Look until all is through, or nothing is left to do; SetupError when nothing moves any more."""
        clock, process = SystemClock(), self._running.process
        totals, moved_at = self._totals(), clock.monotonic()
        while not self._all_sent or totals[last] < self._sent_records:
            if await process.exited(seconds_max=LOOK_SECONDS):
                raise process.failure(f"ended by itself with status {process.exit_status}")
            self._counts = await scrape(self._http, self._running.metrics_url) or self._counts
            self._looked.set()
            before, totals = totals, self._totals()
            bars.show(totals, self._sent_records if self._all_sent else None)
            moved_at = clock.monotonic() if totals != before else moved_at
            still_seconds = clock.monotonic() - moved_at
            if self._all_sent and still_seconds > QUIET_SECONDS and not await self._left():
                return
            if still_seconds > STUCK_SECONDS:
                place = f"{self._stack.directory}/worker.log"
                raise SetupError(f"nothing has moved for {STUCK_SECONDS} seconds: see {place}")

    async def _left(self) -> int:
        """Messages that wait or are held on the queues of the layers that run."""
        return await self._held((RECORDS, REFINE, LOAD)[: len(self._work.steps) - 1])

    async def _held(self, names: Sequence[str]) -> int:
        held = 0
        for name in names:
            url = await queue_url(self._aws.sqs, name)
            answer = await self._aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])
            found = answer["Attributes"]
            held += int(found["ApproximateNumberOfMessages"]) + int(found["ApproximateNumberOfMessagesNotVisible"])
        return held

    def _totals(self) -> dict[str, int]:
        counts, rejected = self._counts, self._counts.rejected_total
        everything_landed = self._all_sent and counts.landed >= self._sent_messages
        landed = self._sent_records if everything_landed else counts.landed * self._work.records_per_message
        return {
            "sent": self._sent_records,
            "landed": min(landed, self._sent_records),
            "refined": counts.refined + rejected,
            "loaded": counts.loaded + rejected,
        }
