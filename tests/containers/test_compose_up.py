"""compose.yaml as its first lines say: everything up, the sample sent, its records in the table, everything down."""

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from uuid import uuid4

import docker
import pytest

from service.settings import LAYERS, PROJECT

pytestmark = [pytest.mark.stack, pytest.mark.timeout(900)]

SECONDS_MAX = 300
LOADED = 19_731
"""Of the sample's 20,000 records: the others are duplicates and rejected, as the README's table has it."""
ASK = """
import asyncio, asyncpg, os

async def main():
    connection = await asyncpg.connect(os.environ["ACEQUIA_WAREHOUSE_DSN"])
    try:
        print(await connection.fetchval("SELECT COUNT(*) FROM lake.onboarding_events"))
    finally:
        await connection.close()

asyncio.run(main())
"""
Compose = Callable[..., str]


def compose_command() -> list[str] | None:
    """Compose of either age, whichever is there."""
    if shutil.which("docker-compose"):
        return ["docker-compose"]
    plugin = ["docker", "compose"]
    there = shutil.which("docker") and subprocess.run([*plugin, "version"], capture_output=True, check=False)
    return plugin if there and there.returncode == 0 else None


@pytest.fixture
def compose(image: str) -> Iterator[Compose]:
    """Runs it in a project of this test's own, of which nothing is left."""
    command = compose_command()
    if command is None:
        pytest.skip("no Docker Compose is here")
    project = f"acequia-test-{uuid4().hex[:8]}"
    base = os.environ.get("ACEQUIA_LOCAL_BASE_IMAGE")

    def run(*words: str) -> str:
        done = subprocess.run(
            [*command, "--project-name", project, *words],
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=SECONDS_MAX,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join(words)}:\n{done.stdout[-4_000:]}\n{done.stderr[-4_000:]}"
        return done.stdout

    try:
        run("build", *(("--build-arg", f"BASE={base}") if base else ()))
        yield run
    finally:
        run("down", "--volumes", "--timeout", "30", "--remove-orphans")


def test_the_sample_goes_through_containers_of_one_layer_each(compose: Compose, engine: docker.DockerClient) -> None:
    compose("up", "--detach")
    running = compose("ps", "--services").split()
    assert {*running} >= {"stack", *LAYERS}
    compose("run", "--rm", "-T", "send")
    ask = ("exec", "-T", "stack", "sh", "-c", f"set -a && . /stack/environment && /opt/venv/bin/python -c '{ASK}'")
    deadline = time.monotonic() + SECONDS_MAX
    while (loaded := int(compose(*ask).split()[-1])) < LOADED:
        assert time.monotonic() < deadline, f"{loaded} of {LOADED}:\n{compose('logs', '--tail', '20')}"
        time.sleep(1)
    assert loaded == LOADED
