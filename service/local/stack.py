"""The backing services of one machine: emulated AWS, and PostgreSQL behind the Redshift stand-in, with everything that
the service expects to find there: queues with dead-letter queues, zones, tables. All of it bound to 127.0.0.1.
"""

import base64
import fcntl
import hashlib
import shutil
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from service.core.datasets import Dataset
from service.core.errors import SetupError
from service.local.emulator import emulated_aws
from service.local.mail import kept_mail
from service.local.ports import HOST, free_port
from service.local.postgres import postgres
from service.local.processes import ChildFailedError
from service.local.provision import REGION, create_alerts, create_queues, create_tables, create_zones, open_aws
from service.local.redshift.server import redshift_standin

AWS_PORT = 4566
WAREHOUSE_PORT = 5439
MARKER = "made-by-acequia-local"
OURS = ("aws", "warehouse", "mail", "environment", "worker.log")
"""What a run makes, and the next one removes; nothing else is ever removed."""
ZONES = {"raw": "acequia-raw", "refined": "acequia-refined", "errors": "acequia-errors"}
ACCOUNT = "000000000000"


@dataclass(frozen=True, slots=True)
class Stack:
    """Where the services answer, and the environment that an `acequia run` beside them needs."""

    directory: Path
    aws_endpoint: str
    warehouse_dsn: str
    environment: Mapping[str, str]

    @property
    def warehouse_port(self) -> int:
        """Where the stand-in listens."""
        port = urlsplit(self.warehouse_dsn).port
        assert port is not None
        return port

    @property
    def refined_directory(self) -> Path:
        """Where refined Parquet lies as plain files."""
        return self.directory / "aws" / "s3" / ACCOUNT / ZONES["refined"]


@asynccontextmanager
async def backing_services(
    directory: Path, *, sql: Path, datasets: Mapping[str, Dataset], datasets_directory: Path
) -> AsyncIterator[Stack]:
    """Start everything afresh in `directory`, and stop it at the end. Raises SetupError where the place is taken."""
    with _claimed(directory):
        async with AsyncExitStack() as running:
            endpoint = await _on_a_free_port(running, AWS_PORT, lambda port: _own_aws(directory / "aws", port))
            warehouse = await running.enter_async_context(postgres(directory / "warehouse"))
            dsn = await _on_a_free_port(
                running, WAREHOUSE_PORT, lambda port: redshift_standin(port, warehouse, endpoint)
            )
            async with open_aws(endpoint) as aws:
                await create_queues(aws)
                topic = await create_alerts(aws)
            await running.enter_async_context(kept_mail(endpoint, directory / "mail"))
            await create_tables(dsn, sql, datasets)
            environment = _environment(endpoint, dsn)
            environment["ACEQUIA_ALERTS_TOPIC_ARN"] = topic
            environment["ACEQUIA_DATASETS_DIRECTORY"] = str(datasets_directory)
            yield Stack(directory, endpoint, dsn, environment)


@asynccontextmanager
async def _own_aws(directory: Path, port: int) -> AsyncIterator[str]:
    """Emulated AWS with its zones; raises ChildFailedError when it is another run's that answers on the port.

    What our own emulator stores lies in our directory: that tells them apart before anything else is shared.
    """
    async with emulated_aws(directory, port) as endpoint:
        async with open_aws(endpoint) as aws:
            await create_zones(aws, ZONES.values())
        if not all((directory / "s3" / ACCOUNT / bucket).is_dir() for bucket in ZONES.values()):
            raise ChildFailedError(f"Another program answers on port {port}.")
        yield endpoint


async def _on_a_free_port(
    running: AsyncExitStack, preferred: int, server: Callable[[int], AbstractAsyncContextManager[str]]
) -> str:
    """Start a server on the preferred port, else on any: between looking and listening another may have taken it."""
    try:
        return await running.enter_async_context(server(free_port(preferred)))
    except (OSError, ChildFailedError):
        return await running.enter_async_context(server(free_port(0)))


def _environment(endpoint: str, dsn: str) -> dict[str, str]:
    """Small batches, so that a person sees records arrive; keys that are no secret, because nothing here is."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "AWS_DEFAULT_REGION": REGION,
        "ACEQUIA_RAW_ZONE": f"s3://{ZONES['raw']}",
        "ACEQUIA_REFINED_ZONE": f"s3://{ZONES['refined']}",
        "ACEQUIA_ERRORS_ZONE": f"s3://{ZONES['errors']}",
        "ACEQUIA_WAREHOUSE_DSN": dsn,
        "ACEQUIA_WAREHOUSE_TLS": "off",
        "ACEQUIA_COPY_ROLE_ARN": f"arn:aws:iam::{ACCOUNT}:role/acequia-copy",
        "ACEQUIA_IDENTITY_KEY": _local_key("identity"),
        "ACEQUIA_MASK_KEY": _local_key("mask"),
        "ACEQUIA_LAND_BATCH_RECORDS_MAX": "1000",
        "ACEQUIA_LAND_BATCH_SECONDS_MAX": "1",
        "ACEQUIA_REFINE_BATCH_SECONDS_MAX": "0.2",
        "ACEQUIA_LOAD_BATCH_SECONDS_MAX": "1",
        "ACEQUIA_LOAD_COPY_INTERVAL_SECONDS": "0",
        "ACEQUIA_QUARANTINE_BATCH_SECONDS_MAX": "2",
        "ACEQUIA_MAIL_REPEAT_SECONDS": "60",
        "ACEQUIA_POLL_SECONDS": "2",
        "ACEQUIA_VISIBILITY_SECONDS": "70",
        "ACEQUIA_DRAIN_SECONDS_MAX": "20",
        "ACEQUIA_RETRY_SECONDS_MAX": "5",
        "ACEQUIA_HTTP_HOST": HOST,
        "ACEQUIA_HTTP_PORT": "0",
    }


def _local_key(name: str) -> str:
    return base64.b64encode(hashlib.sha256(f"acequia local {name}".encode()).digest()).decode()


@contextmanager
def _claimed(directory: Path) -> Iterator[None]:
    """A directory of ours, for us alone. What an earlier run left is removed; a stranger's files never are."""
    directory.mkdir(parents=True, exist_ok=True)
    marker = directory / MARKER
    if not marker.exists() and any(directory.iterdir()):
        raise SetupError(f"{directory} holds files that are not ours: name another place with --directory")
    with marker.open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise SetupError(f"another acequia local uses {directory}: stop it, or name another --directory") from None
        for name in OURS:
            left = directory / name
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink(missing_ok=True)
        yield
