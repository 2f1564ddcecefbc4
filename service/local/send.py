"""Sends a file's records to a local stack that runs already, as an application would."""

import asyncio
from pathlib import Path

from service.local.feed import QUEUED_MESSAGES_MAX, feed, messages, read_lines
from service.local.provision import RECORDS, open_aws
from service.local.samples.onboarding import sample_lines

LOOK_SECONDS = 0.2


async def send_file(file: Path | None, *, endpoint: str, dataset: str, records_per_message: int) -> int:
    """How many records were sent; the sample where no file is named. No more wait at once than emulated AWS bears."""
    sent = 0
    async with open_aws(endpoint) as aws:
        queue = await aws.queue(RECORDS)

        async def room(more: int) -> None:
            while (await queue.depth()).waiting + more > QUEUED_MESSAGES_MAX:  # noqa: ASYNC110 (a queue's depth)
                await asyncio.sleep(LOOK_SECONDS)

        def count(_: int, records: int) -> None:
            nonlocal sent
            sent += records

        lines = sample_lines() if file is None else read_lines(file)
        source = messages(lines, dataset=dataset, records_per_message=records_per_message)
        await feed(queue, source, room=room, sent=count)
    return sent
