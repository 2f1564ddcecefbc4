"""The stand-in by itself, and at once with others."""

import asyncio
from pathlib import Path

import asyncpg
import pytest

from service.local.ports import free_port
from service.local.redshift.alone import redshift_alone
from service.local.redshift.server import Isolation

pytestmark = pytest.mark.stack


def names_in(directory: Path) -> list[str]:
    return sorted(path.name for path in directory.iterdir())


async def test_it_serves_until_it_is_cancelled_and_leaves_only_logs(tmp_path: Path) -> None:
    dsn: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    port = free_port(0)
    alone = asyncio.create_task(
        redshift_alone(
            port, "http://127.0.0.1:9", directory=tmp_path, isolation=Isolation.SERIALIZABLE, ready=dsn.set_result
        )
    )
    connection = await asyncpg.connect(await dsn)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()

    alone.cancel()
    with pytest.raises(asyncio.CancelledError):
        await alone

    with pytest.raises(ConnectionRefusedError):
        await asyncpg.connect(dsn.result())
    assert names_in(tmp_path) == ["initdb.log", "postgres.log"]
