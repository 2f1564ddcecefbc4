"""An account to deploy to, for an operator with a shell: emulated AWS that starts real containers, and a warehouse.

Both listen at the address that this machine has on Docker's own bridge, and nowhere else: containers reach that, and
other machines do not.
"""

import json
import os
import shutil
import stat
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import docker

from service.local.ports import free_port
from service.local.postgres import DATABASE, postgres
from service.local.redshift.server import redshift_standin
from tests.deploy.emulated import Emulated, emulated
from tests.deploy.relay import relayed
from tests.deploy.templates import ECS

SOCKET = "unix:///var/run/docker.sock"
TASKS_USER, PASSWORD = "acequia_tasks", "Sesame-Street-1"
LOGIN = "warehouse"
"""The secret with which tasks log in to the warehouse."""
NOT_HERE = {"WarehouseVpcId": "", "FlowLogs": "no"}
"""The emulator has no peering and no flow logs."""


@dataclass(frozen=True)
class Ground:
    """`project` holds the scripts and parameter files as they are, `environment` is that of an operator's shell."""

    aws: Emulated
    project: Path
    admin: asyncpg.Connection
    reached: Mapping[str, str]
    environment: Mapping[str, str]

    def edit(self, **changed: str) -> None:
        """What an operator writes into the parameter file: where everything is, and this."""
        file = self.project / "deploy" / "ecs" / "parameters" / "dev.json"
        given = json.loads(file.read_text(encoding="utf-8"))["Parameters"]
        file.write_text(json.dumps({"Parameters": {**given, **self.reached, **changed}}), encoding="utf-8")

    async def log_in_as(self, user: str) -> None:
        """From now on tasks that start are that user in the warehouse."""
        secrets = await self.aws.client("secretsmanager")
        await secrets.put_secret_value(SecretId=LOGIN, SecretString=_login(user))


@asynccontextmanager
async def ground(directory: Path, engine: docker.DockerClient) -> AsyncIterator[Ground]:
    """For the length of the block; the warehouse has the tasks' user, and no tables."""
    bridge = engine.networks.get("bridge").attrs["IPAM"]["Config"][0]["Gateway"]
    async with (
        emulated(directory, host=bridge, engine=os.environ.get("DOCKER_HOST", SOCKET)) as aws,
        postgres(directory / "warehouse") as warehouse,
        redshift_standin(free_port(0), warehouse, aws.endpoint) as dsn,
        relayed(urlsplit(dsn).port or 0, to=bridge) as port,
    ):
        admin = await asyncpg.connect(dsn, statement_cache_size=0)
        try:
            await admin.execute(f"CREATE USER {TASKS_USER} PASSWORD '{PASSWORD}'")
            secrets = await aws.client("secretsmanager")
            secret = await secrets.create_secret(Name=LOGIN, SecretString=_login(TASKS_USER))
            reached = {
                "EmulatorEndpointUrl": aws.endpoint,
                "WarehouseHost": bridge,
                "WarehousePort": str(port),
                "WarehouseDatabase": DATABASE,
                "WarehouseLogin": "secret",
                "WarehouseSecretArn": secret["ARN"],
                "WarehouseTls": "off",
                **NOT_HERE,
            }
            project = directory / "project"
            shutil.copytree(ECS, project / "deploy" / "ecs")
            yield Ground(aws, project, admin, reached, _environment(directory, aws.endpoint))
        finally:
            await admin.close()


def _login(user: str) -> str:
    return json.dumps({"username": user, "password": PASSWORD})


def _environment(directory: Path, endpoint: str) -> dict[str, str]:
    """Of a shell that is signed in to the account. The CLI is that of the tests, else the machine's; version 1 goes to
    SQS's old address where the endpoint is told by the environment alone.
    """
    beside = Path(sys.prefix) / "bin" / "aws"
    found = str(beside) if beside.exists() else shutil.which("aws")
    assert found, "the AWS CLI is not installed"
    place = directory / "bin"
    place.mkdir()
    (place / "aws").write_text(f'#!/bin/sh\nexec {found} --endpoint-url "$AWS_ENDPOINT_URL" "$@"\n')
    (place / "aws").chmod(stat.S_IRWXU)
    return {
        "PATH": f"{place}:{os.environ['PATH']}",
        "HOME": str(directory),
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "local",
        "AWS_SECRET_ACCESS_KEY": "local",
        "LOOK_SECONDS": "0.2",
    }
