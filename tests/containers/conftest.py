"""The image, built once, and the backing services on this machine that its containers are run against."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException

from tests.containers.container import IMAGE, Environment, environment_of
from tests.stack.conftest import PROJECT, Starter


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """A Docker engine; `.ci/docker-engine` starts one where none runs."""
    try:
        client = docker.from_env(timeout=600)
        client.ping()
    except DockerException:
        pytest.skip("no Docker engine answers here")
    with suppress(DockerException):
        yield client
    client.close()


@pytest.fixture(scope="session")
def image(engine: docker.DockerClient) -> str:
    """The service's image, of what lies here."""
    base = os.environ.get("ACEQUIA_LOCAL_BASE_IMAGE")
    engine.images.build(path=str(PROJECT), tag=IMAGE, rm=True, buildargs={"BASE": base} if base else {})
    return IMAGE


@pytest.fixture
def stack(image: str, tmp_path: Path) -> Iterator[Environment]:
    """The backing services, afresh, and the environment of a container beside them."""
    starter = Starter(tmp_path)
    try:
        starter("local", "--stack-only", "--env-file", "stack.env").until("keep running")
        yield environment_of(tmp_path / "stack.env")
    finally:
        starter.stop()
