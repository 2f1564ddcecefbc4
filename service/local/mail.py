"""Mail on one machine: what the topic is told becomes a text file each, in the order in which it came."""

import asyncio
import itertools
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from service.core.errors import TransientError
from service.local.provision import MAIL, open_aws

VISIBILITY_SECONDS = 30
POLL_SECONDS = 5
RETRY_SECONDS = 1.0


@asynccontextmanager
async def kept_mail(endpoint: str, directory: Path) -> AsyncIterator[None]:
    """Keep mail in the directory for the length of the block."""
    await asyncio.to_thread(directory.mkdir, parents=True, exist_ok=True)
    keeping = asyncio.create_task(_keep(endpoint, directory), name="mail")
    try:
        yield
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping


async def _keep(endpoint: str, directory: Path) -> None:
    """Endless, because mail may come for as long as the stack is up."""
    numbers = itertools.count(1)
    async with open_aws(endpoint) as aws:
        queue = await aws.queue(MAIL)
        while True:
            try:
                mails = await queue.receive(wait_seconds=POLL_SECONDS, visibility_seconds=VISIBILITY_SECONDS)
                for mail in mails:
                    path = directory / f"{next(numbers):03d}.txt"
                    await asyncio.to_thread(path.write_text, _text(mail.body), encoding="utf-8")
                await queue.delete([mail.receipt for mail in mails])
            except TransientError:
                await asyncio.sleep(RETRY_SECONDS)


def _text(body: str) -> str:
    told = json.loads(body)
    return f"Subject: {told.get('Subject', '')}\n\n{told['Message']}\n"
