"""Opens the AWS clients once, for the life of the process.

Long polls have a client, and so a connection pool, of their own: ten polls on a shared pool of ten would make a delete
wait for the polls to end. Retries inside the SDK are set, not inherited: its default changed with botocore 1.44.
Endpoints and credentials come from the standard places (`AWS_ENDPOINT_URL_*`, the task's role). So does the region, and
from `AWS_REGION`, which AWS's other SDKs read and botocore does not (its `configprovider`).
"""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from typing import Any

from aiobotocore.config import AioConfig
from aiobotocore.session import get_session
from botocore.exceptions import BotoCoreError, NoRegionError

from service.aws.faults import aws_faults
from service.core.errors import SetupError

AwsClient = Any
"""aiobotocore makes a client's methods at run time, from the service's model."""

CONNECT_SECONDS_MAX = 5
READ_SECONDS_MAX = 30
POLL_MARGIN_SECONDS = 10
"""A long poll's answer may come that much later than asked for."""
SMALL_READ_SECONDS_MAX = 10
"""What a small answer may take that a new connection to the warehouse waits for."""
ATTEMPTS_MAX = 3
"""The SDK's own, quick and jittered; what outlasts them is the intake's to wait for."""


@dataclass(frozen=True, slots=True)
class Clients:
    """Open clients. `polling` and `sqs` reach the same queues."""

    polling: AwsClient
    sqs: AwsClient
    s3: AwsClient


@asynccontextmanager
async def open_clients(*, pollers: int, poll_seconds: int, connections_max: int) -> AsyncIterator[Clients]:
    """Open everything; all of it is closed at the end of the block."""
    open_one = _opening()
    async with AsyncExitStack() as stack:
        polling = _config(pollers + 1, poll_seconds + POLL_MARGIN_SECONDS)
        calls = _config(connections_max, READ_SECONDS_MAX)
        with aws_faults("aws", "open the clients"), _endpoints():
            clients = Clients(
                polling=await stack.enter_async_context(open_one("sqs", polling)),
                sqs=await stack.enter_async_context(open_one("sqs", calls)),
                s3=await stack.enter_async_context(open_one("s3", calls)),
            )
        yield clients


@asynccontextmanager
async def open_client(service: str) -> AsyncIterator[AwsClient]:
    """One more client, for few and small calls to a service that only some settings need."""
    async with AsyncExitStack() as stack:
        with aws_faults("aws", f"open the client of {service}"), _endpoints():
            config = _config(1, SMALL_READ_SECONDS_MAX)
            client = await stack.enter_async_context(_opening()(service, config))
        yield client


def _opening() -> Callable[[str, AioConfig], AbstractAsyncContextManager[AwsClient]]:
    """Opens clients of one session, in the region of the environment or, without one, of the AWS configuration."""
    session = get_session()
    region = os.environ.get("AWS_DEFAULT_REGION") or os.environ.get("AWS_REGION") or None
    return lambda service, config: session.create_client(service, region_name=region, config=config)


@contextmanager
def _endpoints() -> Iterator[None]:
    try:
        yield
    except NoRegionError:
        raise
    except BotoCoreError as wrong:
        raise SetupError(f"the AWS configuration (AWS_PROFILE, AWS_CONFIG_FILE …): {wrong}") from None
    except ValueError as wrong:
        raise SetupError(f"AWS_ENDPOINT_URL or one of AWS_ENDPOINT_URL_*: {wrong}") from None


def _config(connections_max: int, read_seconds: float) -> AioConfig:
    return AioConfig(
        max_pool_connections=connections_max,
        connect_timeout=CONNECT_SECONDS_MAX,
        read_timeout=read_seconds,
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS_MAX},
    )
