"""What somebody who follows the guide looks at on the way: after which command, and what must be there."""

import re
from collections.abc import Awaitable, Callable, Mapping

import pytest
from botocore.exceptions import ClientError

from tests.deploy.guide import Command
from tests.deploy.walk import Walk, until

PROTECTED = ("acequia-dev-queues", "acequia-dev-storage", "acequia-dev-keys")


async def _knows_s3(walk: Walk, said: str) -> None:
    assert said.startswith("pl-")
    walk.ground.edit(S3PrefixListId=said)


async def _is_made(walk: Walk, said: str) -> None:
    stacks = await walk.ground.aws.stacks()
    assert {*stacks.values()} == {"CREATE_COMPLETE"}
    assert len(stacks) == 15, "with the registry, and without the service"


async def _has_roles(walk: Walk, said: str) -> None:
    assert "-- roles/040_loader.sql" in said


async def _has_tables(walk: Walk, said: str) -> None:
    assert "-- table lake.loan_events" in said


async def _starts(walk: Walk, said: str) -> None:
    container = await walk.runs(walk.releases.made[0])
    assert container.exec_run(["id", "-u"]).output.decode().strip() == "10001"


async def _is_counted(walk: Walk, said: str) -> None:
    assert said.split() == ["acequia-dev-all", "1", "1"]


async def _is_logged(walk: Walk, said: str) -> None:
    assert '"event": "service_started"' in said


async def _arrives(walk: Walk, said: str) -> None:
    walk.sent = 1
    await walk.arrived()
    await walk.send(500)
    await walk.arrived()


async def _is_the_new_one(walk: Walk, said: str) -> None:
    await walk.runs(walk.releases.made[1])
    await walk.send(100)
    await walk.arrived()


async def _is_the_old_one(walk: Walk, said: str) -> None:
    await walk.runs(walk.releases.made[0])


async def _says_which(walk: Walk, said: str) -> None:
    assert said == walk.releases.made[0]


async def _halts(walk: Walk, said: str) -> None:
    await until(lambda: _none(walk), "a task runs")


async def _goes_on(walk: Walk, said: str) -> None:
    await walk.runs(walk.releases.made[0])
    await walk.send(100)
    await walk.arrived()


async def is_away(walk: Walk) -> None:
    """No task runs; of the stacks those are left that hold data, and the registry."""
    assert await walk.running() == []
    assert {*await walk.ground.aws.stacks()} == {"acequia-registry", *PROTECTED}
    for stack in PROTECTED:
        with pytest.raises(ClientError, match="TerminationProtection"):
            await walk.ground.aws.formation.delete_stack(StackName=stack)


async def is_nothing(walk: Walk) -> None:
    """What was deleted is there again, around what it had left. Then all goes, protected or not."""
    aws = walk.ground.aws
    assert (await aws.stacks())["acequia-dev-logs"] == "UPDATE_COMPLETE"
    for stack in ("acequia-registry", "acequia-dev-logs", *PROTECTED):
        await aws.formation.update_termination_protection(StackName=stack, EnableTerminationProtection=False)
        await aws.delete(stack)
    assert await aws.stacks() == {}


async def _none(walk: Walk) -> bool:
    return await walk.running() == []


Look = Callable[[Walk, str], Awaitable[None]]
AFTER: Mapping[tuple[str, str], Look] = {
    ("2.", r"^aws ec2 describe-managed-prefix-lists"): _knows_s3,
    ("3.", r"cluster$"): _is_made,
    ("5.", r"migrate --roles$"): _has_roles,
    ("5.", r"migrate$"): _has_tables,
    ("6.", r"deploy \$ENVIRONMENT$"): _starts,
    ("6.", r"^aws ecs describe-services"): _is_counted,
    ("6.", r"^aws logs tail"): _is_logged,
    ("6.", r"^aws sqs send-message"): _arrives,
    ("Upgrade", r"deploy \$ENVIRONMENT$"): _is_the_new_one,
    ("Rollback", r"^IMAGE="): _is_the_old_one,
    ("Rollback", r"^aws ecs describe-task-definition"): _says_which,
    ("Rollback", r"desired-count 0$"): _halts,
    ("Rollback", r"desired-count 1$"): _goes_on,
}
"""By the section, and by what is in the command."""


def looks(command: Command) -> list[Look]:
    """What is looked at after a command."""
    return [
        look
        for (section, text), look in AFTER.items()
        if command.section.startswith(section) and re.search(text, command.text)
    ]
