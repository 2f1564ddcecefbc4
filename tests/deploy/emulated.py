"""Stacks on emulated AWS, whose CloudFormation makes, updates and deletes what the templates say."""

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import aiohttp
import docker
from aiobotocore.session import AioSession, get_session

from service.local.emulator import EXECUTABLE_VARIABLE
from service.local.ports import HOST, free_port
from service.local.processes import Command, child
from service.local.provision import REGION
from tests.deploy.templates import ECS

LOOK_SECONDS = 0.1
SETTLED_SECONDS_MAX = 60
PLACE = {"region_name": REGION, "aws_access_key_id": "local", "aws_secret_access_key": "local"}


@dataclass(frozen=True)
class Emulated:
    """Stacks, by the names that the script gives them; `client` opens others of AWS's services."""

    endpoint: str
    formation: Any
    session: AioSession
    exits: AsyncExitStack

    async def client(self, service: str) -> Any:
        """Open until the emulator goes."""
        opened = self.session.create_client(service, endpoint_url=self.endpoint, **PLACE)
        return await self.exits.enter_async_context(opened)

    async def deploy(self, stack: str, template: str, parameters: Mapping[str, str]) -> str:
        """Make a stack, or update it; the status that it comes to."""
        asked = {
            "StackName": stack,
            "TemplateBody": (ECS / f"{template}.yaml").read_text(encoding="utf-8"),
            "Parameters": [{"ParameterKey": key, "ParameterValue": value} for key, value in parameters.items()],
            "Capabilities": ["CAPABILITY_NAMED_IAM"],
        }
        there = stack in await self.stacks()
        await (self.formation.update_stack if there else self.formation.create_stack)(**asked)
        return await self.settled(stack)

    async def delete(self, stack: str) -> None:
        """Have it gone."""
        await self.formation.delete_stack(StackName=stack)
        async with asyncio.timeout(SETTLED_SECONDS_MAX):
            while stack in await self.stacks():  # noqa: ASYNC110 (another process, which tells nobody)
                await asyncio.sleep(LOOK_SECONDS)

    async def stacks(self) -> Mapping[str, str]:
        """Those that there are, with their status."""
        found = (await self.formation.describe_stacks())["Stacks"]
        return {one["StackName"]: one["StackStatus"] for one in found if one["StackStatus"] != "DELETE_COMPLETE"}

    async def settled(self, stack: str) -> str:
        """Its status, once nothing is in progress."""
        async with asyncio.timeout(SETTLED_SECONDS_MAX):
            while (status := (await self.stacks())[stack]).endswith("IN_PROGRESS"):  # noqa: ASYNC110 (likewise)
                await asyncio.sleep(LOOK_SECONDS)
        return status

    async def failures(self, stack: str) -> list[tuple[str, str]]:
        """Resources that could not be made, and why."""
        events = (await self.formation.describe_stack_events(StackName=stack))["StackEvents"]
        failed = [one for one in events if one["ResourceStatus"].endswith("FAILED")]
        return [(one["LogicalResourceId"], one.get("ResourceStatusReason", "")) for one in failed]


@asynccontextmanager
async def emulated(directory: Path, *, host: str = HOST, engine: str = "") -> AsyncIterator[Emulated]:
    """All of the emulator's services, on a port of its own. `engine` is the address of the container engine that it
    starts tasks with; without one none starts.
    """
    endpoint = f"http://{host}:{(port := free_port(0))}"
    async with (
        child(_command(directory, host, port, engine)) as process,
        aiohttp.ClientSession() as http,
        AsyncExitStack() as exits,
    ):

        async def answers() -> bool:
            try:
                async with http.get(f"{endpoint}/_ministack/health") as answer:
                    return answer.status == HTTPStatus.OK
            except aiohttp.ClientError:
                return False

        await process.until_ready(answers, seconds_max=SETTLED_SECONDS_MAX)
        session = get_session()
        opened = session.create_client("cloudformation", endpoint_url=endpoint, **PLACE)
        yield Emulated(endpoint, await exits.enter_async_context(opened), session, exits)


def _command(directory: Path, host: str, port: int, engine: str) -> Command:
    beside = Path(sys.prefix) / "stack" / "bin" / "ministack"
    executable = os.environ.get(EXECUTABLE_VARIABLE) or (str(beside) if beside.exists() else shutil.which("ministack"))
    return Command(
        name="Emulated AWS (ministack)",
        argv=(str(executable),),
        env={
            "PATH": os.environ.get("PATH", os.defpath),
            "PYTHONPATH": str(_engine_client(directory)),
            "HOME": str(directory),
            "TMPDIR": str(directory),
            "BIND_HOST": host,
            "GATEWAY_PORT": str(port),
            "MINISTACK_REGION": REGION,
            "STATE_DIR": str(directory / "state"),
            "IOT_MTLS_ENABLED": "0",
            "SFTP_ENABLED": "0",
            "DOCKER_HOST": engine or f"unix://{directory}/no-docker.sock",
            "LOG_LEVEL": "WARNING",
        },
        directory=directory,
        log=directory / "ministack.log",
        account=None,
        stop_signal=signal.SIGTERM,
        stop_seconds_max=5.0,
    )


def _engine_client(directory: Path) -> Path:
    """A place for its PYTHONPATH: the client of container engines, which its own environment lacks, is in ours."""
    place = directory / "beside"
    place.mkdir()
    ours = Path(docker.__file__).parents[1]
    (place / "sitecustomize.py").write_text(f"import sys\nsys.path.append({str(ours)!r})\n", encoding="utf-8")
    return place
