"""Somebody who follows the guide on emulated AWS: what they leave out or do otherwise there, and what they look at."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

from docker.models.containers import Container

from service.local.feed import messages
from service.local.provision import open_aws
from service.local.samples.loans import loan_events
from tests.deploy.ground import TASKS_USER, Ground
from tests.deploy.guide import Command
from tests.deploy.releases import Releases
from tests.deploy.shell import Shell

WAIT_SECONDS_MAX = 120
LOOK_SECONDS = 0.2
CLUSTER, SERVICE, DATASET = "acequia-dev", "acequia-dev-all", "loan_events"

AGAIN = "the same as in the steps that follow"
NO_REGISTRY = "the emulator has no registry to push to: the image is built by the tests, and the engine has it"
NO_PEERING = "the emulator has no peering"
NO_REDSHIFT = "the emulator has no Redshift: the stand-in is there beside it"
NO_SUPERUSERS = "the stand-in makes no superuser: its admin runs what needs one"
NO_IAM_USERS = "the stand-in has no temporary passwords: the login is a secret, whose user is there"
NO_TAIL = "version 2 of the CLI has it; PyPI has version 1"
NO_IMPORT = "the emulator imports log groups and queues, neither keys nor secrets nor buckets"
NO_PROD = "prod refuses an emulator's address (by hand: test_by_hand.py)"
ONE_REGION = "one region is walked (by hand: test_by_hand.py)"
ONE_PROFILE = "one profile is walked; taken away and made it is in the other steps"

_MESSAGES = "--query 'events[].message' --output text"
NOT_RUN: Mapping[str, str] = {
    "deploy/ecs/deploy dev ": AGAIN,
    "aws ecr get-login-password": NO_REGISTRY,
    "TAG=build-": NO_REGISTRY,
    "docker build": NO_REGISTRY,
    "docker push": NO_REGISTRY,
    "PEERING=": NO_PEERING,
    "aws ec2 create-route": NO_PEERING,
    "aws ec2 authorize-security-group-ingress": NO_PEERING,
    "aws redshift": NO_REDSHIFT,
    "CREATE USER": NO_IAM_USERS,
    "ALTER USER": NO_SUPERUSERS,
    "7. Production": NO_PROD,
    "The region": ONE_REGION,
    "Changing one's mind": ONE_PROFILE,
}
"""By how a command begins, or by the section: why it is left out."""
INSTEAD: Mapping[str, tuple[str, str]] = {
    "export IMAGE=": (NO_REGISTRY, "export IMAGE=$FIRST"),
    "aws logs tail": (
        NO_TAIL,
        f"aws logs filter-log-events --log-group-name /acequia/$ENVIRONMENT/service {_MESSAGES}",
    ),
    "deploy/ecs/adopt": (NO_IMPORT, "deploy/ecs/adopt $ENVIRONMENT logs"),
    "deploy/ecs/deploy $ENVIRONMENT keys\n": (NO_IMPORT, "deploy/ecs/deploy $ENVIRONMENT logs"),
}
"""By how a command begins: why another is run, and which."""
PLACES: Mapping[str, str] = {
    "<YOUR EVENTS>": "events",
    "<THE IMAGE BEFORE>": "$FIRST",
    "2026-01-30": str(datetime.now(UTC).date() - timedelta(days=1)),
    "2026-01-31": str(datetime.now(UTC).date()),
    '"IAMR:acequia-ENV-operator"': TASKS_USER,
    '"IAMR:acequia-ENV-all"': TASKS_USER,
}
"""What the guide leaves open, and what stands there on this ground."""


def matches(command: Command, key: str) -> bool:
    """Whether a line of the two tables is about it."""
    return f"{command.text}\n".startswith(key) or command.section == key


@dataclass
class Walk:
    """The ground, the shell, and how many records were sent."""

    ground: Ground
    shell: Shell
    releases: Releases
    sent: int = 0

    async def follow(self, command: Command) -> str:
        """Run a command or what stands for it; it must succeed. What it said."""
        text = next((other for key, (_, other) in INSTEAD.items() if matches(command, key)), command.text)
        for open_place, value in PLACES.items():
            text = text.replace(open_place, value)
        if command.is_sql:
            return str(await self.ground.admin.execute(text))
        code, said = await self.shell.run(text)
        assert code == 0, f"{command.section}: {text}\n{said}"
        return said

    async def runs(self, image: str) -> Container:
        """Wait for the service to have its task: one container of our image, and what its log says at the start."""
        ecs = await self.ground.aws.client("ecs")

        async def there() -> bool:
            found = (await ecs.describe_services(cluster=CLUSTER, services=[SERVICE]))["services"][0]
            arns = (await ecs.list_tasks(cluster=CLUSTER, serviceName=SERVICE))["taskArns"]
            told = (await ecs.describe_tasks(cluster=CLUSTER, tasks=arns))["tasks"] if arns else []
            alone = [one["lastStatus"] for one in told] == ["RUNNING"] and found["runningCount"] == 1
            return alone and [image in one.image.tags for one in await self.running()] == [True]

        await self._until(there, f"no task runs {image}")
        [container] = await self.running()
        await self._until(lambda: self.logged(container, "service_started"), "it does not say that it started")
        return container

    async def running(self) -> list[Container]:
        """Containers of ours that have not ended."""
        found = await asyncio.to_thread(self.releases.containers)
        return [one for one in found if one.status == "running"]

    async def logged(self, container: Container, event: str) -> bool:
        """Whether the log group has that event of that task."""
        task = container.labels["com.amazonaws.ecs.task-arn"].rpartition("/")[2]
        return f'"event": "{event}"' in await self._log(logStreamNames=[f"all/acequia/{task}"])

    async def _log(self, **of: object) -> str:
        logs = await self.ground.aws.client("logs")
        told = await logs.filter_log_events(logGroupName="/acequia/dev/service", **of)
        return "\n".join(one["message"] for one in told["events"])

    async def _until(self, holds: Callable[[], Awaitable[bool]], otherwise: str) -> None:
        try:
            await until(holds, otherwise)
        except AssertionError as wrong:
            lines = [line for line in (await self._log()).splitlines() if '"event": "metrics"' not in line]
            raise AssertionError("\n".join([f"{wrong}; the end of the service's log:", *lines[-20:]])) from None

    async def send(self, records: int) -> None:
        """As an application does it; the first of all is the one that the guide's own command sends."""
        some = islice(_events(), self.sent, self.sent + records)
        async with open_aws(self.ground.aws.endpoint) as aws:
            queue = await aws.queue("acequia-dev-records")
            await queue.send([one for one, _ in messages(some, dataset=DATASET, records_per_message=50)])
        self.sent += records

    async def arrived(self) -> None:
        """Wait for each record to stand in the warehouse once."""

        async def all_of_them() -> bool:
            asked = f"SELECT COUNT(*), COUNT(DISTINCT _record_id) FROM lake.{DATASET}"
            [row] = await self.ground.admin.fetch(asked)
            return tuple(row) == (self.sent, self.sent)

        await self._until(all_of_them, f"not {self.sent} records in the warehouse")


def write_events(project: Path) -> None:
    """The operator's own records, where the guide's command takes the first from."""
    (project / "events.ndjson").write_bytes(b"".join(line + b"\n" for line in islice(_events(), 3)))


def _events() -> Iterator[bytes]:
    events, _ = loan_events(applications=100, events=1_000)
    return (event.encode() for event in events)


async def until(holds: Callable[[], Awaitable[bool]], otherwise: str) -> None:
    """Look again and again, for two minutes at most."""
    try:
        async with asyncio.timeout(WAIT_SECONDS_MAX):
            while not await holds():  # noqa: ASYNC110 (another process, which tells nobody)
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        raise AssertionError(otherwise) from None
