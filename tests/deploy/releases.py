"""Releases of the service for the emulator's ECS: our image, and with it what tasks have from AWS and would lack here.

That is credentials: the emulator offers them at an address that no SDK asks. Besides, batches wait for a second, for
the sake of the test's time. Both stand in the image's own environment, so the templates are those of production.
"""

import io
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import docker
from docker.errors import APIError, NotFound
from docker.models.containers import Container

ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "local",
    "AWS_SECRET_ACCESS_KEY": "local",
    "ACEQUIA_LAND_BATCH_SECONDS_MAX": "1",
    "ACEQUIA_REFINE_BATCH_SECONDS_MAX": "0.2",
    "ACEQUIA_LOAD_BATCH_SECONDS_MAX": "1",
    "ACEQUIA_LOAD_COPY_INTERVAL_SECONDS": "0",
    "ACEQUIA_POLL_SECONDS": "1",
}
REGISTRY = "localhost:1"
"""Where nobody listens: the engine looks there first, as on AWS, fails at once, and takes the image that it has."""
LABEL = "acequia.deployed"


@dataclass(frozen=True)
class Releases:
    """Images of one test, and the containers that were ever started from them."""

    engine: docker.DockerClient
    image: str
    mark: str = field(default_factory=lambda: uuid.uuid4().hex[:12])
    made: list[str] = field(default_factory=list)

    def release(self) -> str:
        """Another image; its name, as the parameter `Image` takes it."""
        name = f"{REGISTRY}/acequia:{self.mark}-{len(self.made)}"
        told = " ".join(f"{key}={value}" for key, value in ENVIRONMENT.items())
        text = f"FROM {self.image}\nENV {told}\nLABEL {LABEL}={self.mark} release={len(self.made)}\n"
        self.engine.images.build(fileobj=io.BytesIO(text.encode()), tag=name, rm=True)
        self.made.append(name)
        return name

    def containers(self) -> list[Container]:
        """Those that are there, running or ended; a container has its image's labels."""
        found: list[Container] = self.engine.containers.list(all=True, filters={"label": f"{LABEL}={self.mark}"})
        return found


@contextmanager
def releases(engine: docker.DockerClient, image: str) -> Iterator[Releases]:
    """For the length of the block; then its containers and images are gone, whatever has happened."""
    some = Releases(engine, image)
    try:
        yield some
    finally:
        for container in some.containers():
            with suppress(NotFound, APIError):
                container.remove(force=True, v=True)
        for name in some.made:
            engine.images.remove(name, force=True)
