"""Opens the AWS clients once, for the life of the process.

Long polls have a client, and so a connection pool, of their own: ten polls on a shared pool of ten would make a delete
wait for the polls to end. Retries inside the SDK are set, not inherited: its default changed with botocore 1.44.
Endpoints and credentials come from the standard places (`AWS_ENDPOINT_URL_*`, the task's role).
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
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
    session = get_session()
    async with AsyncExitStack() as stack:
        polling = _config(pollers + 1, poll_seconds + POLL_MARGIN_SECONDS)
        calls = _config(connections_max, READ_SECONDS_MAX)
        with aws_faults("aws", "open the clients"), _endpoints():
            clients = Clients(
                polling=await stack.enter_async_context(session.create_client("sqs", config=polling)),
                sqs=await stack.enter_async_context(session.create_client("sqs", config=calls)),
                s3=await stack.enter_async_context(session.create_client("s3", config=calls)),
            )
        yield clients


@asynccontextmanager
async def open_client(service: str) -> AsyncIterator[AwsClient]:
    """One more client, for few and small calls to a service that only some settings need."""
    async with AsyncExitStack() as stack:
        with aws_faults("aws", f"open the client of {service}"), _endpoints():
            config = _config(1, SMALL_READ_SECONDS_MAX)
            client = await stack.enter_async_context(get_session().create_client(service, config=config))
        yield client


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
