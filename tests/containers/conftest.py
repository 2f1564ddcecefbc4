"""The image, built once, and the backing services on this machine that its containers are run against."""

import gc
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import docker
import pytest
from docker.errors import DockerException

from tests.containers.built import built
from tests.containers.container import Environment, environment_of
from tests.stack.conftest import Starter


@pytest.fixture(scope="session")
def engine() -> Iterator[docker.DockerClient]:
    """A Docker engine; `.ci/docker-engine` starts one where none runs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)  # docker-py leaves the socket open at which nobody answered
        client = _answering()
        gc.collect()
    if client is None:
        pytest.skip("no Docker engine answers here")
    with suppress(DockerException):
        yield client
    client.close()


def _answering() -> docker.DockerClient | None:
    try:
        client = docker.from_env(timeout=600)
        client.ping()
    except DockerException:
        return None
    return client


@pytest.fixture(scope="session")
def image(engine: docker.DockerClient) -> str:
    """The service's image, of what lies here."""
    return built()


@pytest.fixture
def stack(image: str, tmp_path: Path) -> Iterator[Environment]:
    """The backing services, afresh, and the environment of a container beside them."""
    starter = Starter(tmp_path)
    try:
        starter("local", "--stack-only", "--env-file", "stack.env").until("keep running")
        yield environment_of(tmp_path / "stack.env")
    finally:
        starter.stop()
