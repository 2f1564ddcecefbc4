"""The guide, followed by a new operator: from an empty account to a service, an upgrade, a rollback, and nothing again.

Emulated AWS makes the stacks and starts real containers of our image; the warehouse is the stand-in. To a container the
emulator hands the task's environment and command, and it takes its output into the log group. It does without
`Secrets`, a read-only root, the user (the image has its own), limits of memory and processor, health checks, the
scratch volume (the image declares one), subnets, security groups, and a role whose credentials the SDK would take; and
it kills five seconds after SIGTERM. So the templates put keys into the environment where `EmulatorEndpointUrl` is
given, and `releases.py` puts credentials there; the rest is tried by `tests/containers`. Nothing is pulled or mailed,
no alarm rings, nothing scales.
"""

from pathlib import Path

import docker
import pytest

from service.local.postgres import OWNER
from tests.deploy.ground import TASKS_USER, ground
from tests.deploy.guide import Command, commands
from tests.deploy.looks import AFTER, is_away, is_nothing, looks
from tests.deploy.releases import releases
from tests.deploy.shell import open_shell
from tests.deploy.walk import INSTEAD, NOT_RUN, PLACES, Walk, matches, write_events

ADOPTS = ("deploy/ecs/adopt $ENVIRONMENT keys", "deploy/ecs/deploy $ENVIRONMENT keys")
"""Run at the end, when a stack was deleted."""
TODO = [one for one in commands() if not any(matches(one, key) for key in NOT_RUN)]


def test_every_command_is_run_or_has_a_reason() -> None:
    """The other way round, too: no reason for a command that is not there any more."""
    every = commands()
    assert len(every) > 50
    for key in (*NOT_RUN, *INSTEAD):
        assert any(matches(one, key) for one in every), key
    for place in PLACES:
        assert any(place in one.text for one in TODO), place
    for command in every:
        known = [key for key in (*NOT_RUN, *INSTEAD) if matches(command, key)]
        assert len(known) <= 1, command
        left_open = {f"<{part.partition('>')[0]}>" for part in command.text.split("<")[1:]}
        assert known or left_open <= PLACES.keys(), command
    assert {look for one in TODO for look in looks(one)} == {*AFTER.values()}
    assert {*ADOPTS} <= {one.text for one in TODO}


@pytest.mark.stack
@pytest.mark.timeout(900)
async def test_the_guide_from_nothing_to_nothing(tmp_path: Path, engine: docker.DockerClient, image: str) -> None:
    with releases(engine, image) as some:
        first, second = some.release(), some.release()
        async with ground(tmp_path, engine) as here:
            write_events(here.project)
            told = {**here.environment, "FIRST": first, "SECOND": second}
            async with open_shell(here.project, told) as shell:
                walk = Walk(here, shell, some)
                for command in (one for one in TODO if one.text not in ADOPTS):
                    await _step(walk, command)
                await is_away(walk)
                for command in (one for one in TODO if one.text in ADOPTS):
                    await _step(walk, command)
                await is_nothing(walk)
        assert some.containers() == []


async def _step(walk: Walk, command: Command) -> None:
    as_admin = command.text.endswith("migrate --roles")
    if as_admin:
        await walk.ground.log_in_as(OWNER)
    if command.section == "Upgrade":
        await walk.shell.run("IMAGE=$SECOND")
    said = await walk.follow(command)
    if as_admin:
        await walk.ground.log_in_as(TASKS_USER)
    for look in looks(command):
        await look(walk, said)
