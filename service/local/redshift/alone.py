"""The stand-in by itself: a local warehouse on a port, for any client of Redshift."""

import asyncio
from collections.abc import Callable
from pathlib import Path

from service.local.postgres import postgres
from service.local.redshift.server import Isolation, redshift_standin


async def redshift_alone(
    port: int,
    s3_endpoint: str,
    *,
    directory: Path,
    isolation: Isolation,
    large_strings: bool = False,
    ready: Callable[[str], None],
) -> None:
    """Serve on 127.0.0.1:`port` until cancelled, and then leave nothing but PostgreSQL's logs in `directory`.

    `ready` is called once with the DSN. Raises PostgresMissingError, ChildFailedError, or OSError if the port is taken.
    """
    async with (
        postgres(directory) as warehouse,
        redshift_standin(port, warehouse, s3_endpoint, isolation=isolation, large_strings=large_strings) as dsn,
    ):
        ready(dsn)
        await asyncio.Event().wait()
