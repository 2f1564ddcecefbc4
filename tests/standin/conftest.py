import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest
import pytest_asyncio
from aiobotocore.session import get_session

from service.local.emulator import emulated_aws
from service.local.ports import free_port
from service.local.postgres import postgres
from service.local.redshift.server import redshift_standin
from tests.standin.lake import BUCKET, Lake, Stack


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def stack(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    directory: Path = tmp_path_factory.mktemp("stack")
    async with (
        emulated_aws(directory / "aws", free_port(0)) as s3_endpoint,
        postgres(directory / "warehouse") as warehouse,
        redshift_standin(free_port(0), warehouse, s3_endpoint) as dsn,
    ):
        yield Stack(dsn, warehouse, s3_endpoint)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def lake(stack: Stack) -> AsyncIterator[Lake]:
    async with get_session().create_client(
        "s3",
        region_name="us-east-1",
        endpoint_url=stack.s3_endpoint,
        aws_access_key_id="test",
        aws_secret_access_key="test",
    ) as client:
        await client.create_bucket(Bucket=BUCKET)
        yield Lake(client)


@pytest_asyncio.fixture(loop_scope="session")
async def connection(stack: Stack) -> AsyncIterator[asyncpg.Connection]:
    connected = await asyncpg.connect(stack.dsn, statement_cache_size=0)
    yield connected
    async with asyncio.timeout(10):
        await connected.close()


@pytest.fixture(scope="session")
def table_numbers() -> Iterator[int]:
    return itertools.count()


@pytest.fixture
def table(table_numbers: Iterator[int]) -> str:
    """A table name that no other test uses."""
    return f"t{next(table_numbers)}"
