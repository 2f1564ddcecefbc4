"""What is in the image, and how it behaves as a process."""

import os
import re
import shutil
import subprocess

import docker
import pytest

from service.settings import PROJECT
from tests.containers.built import IMAGE
from tests.containers.container import SMALL, Environment, worker

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


BUILT_BY_BUILDKIT = "acequia:test-buildkit"
PLUGIN_SINCE = 23
PACKAGES = """
from importlib.metadata import distributions

print(*sorted(f"{one.name}=={one.version}" for one in distributions()))
"""
TOOLS = ("pip", "pip3", "gcc", "cc", "make", "curl", "wget", "git")


def test_it_has_no_tools_to_build_with(image: str, engine: docker.DockerClient) -> None:
    look = f"""
import importlib.util, shutil
print(*map(importlib.util.find_spec, ("pip", "ensurepip", "setuptools")), *map(shutil.which, {TOOLS}))
"""
    said = engine.containers.run(image, ["-c", look], entrypoint="python", remove=True)
    assert set(said.decode().split()) == {"None"}


def test_it_is_nobody_and_writes_nowhere_but_to_its_scratch_mount(stack: Environment) -> None:
    with worker(stack | SMALL) as service:
        service.until("service_started", 60)
        [[_, _, command]] = service.processes()
        assert command.endswith("acequia run")
        code, said = service.ran("python", "-c", "import os; print(os.getuid(), os.getpid()); open('/tmp/x', 'w')")
        assert (code, said.split()[0]) == (0, "10001")
        for path in ("/opt/acequia/x", "/opt/venv/x", "/etc/x", "/var/tmp/x"):
            code, said = service.ran("python", "-c", f"open({path!r}, 'w')")
            assert (code, "Read-only file system" in said) == (1, True), path
        assert service.ran("python", "-m", "service.healthcheck")[0] == 1, "the stack lets the system choose a port"


def test_a_setting_that_is_missing_is_one_line(image: str) -> None:
    with worker({}) as service:
        assert service.exit_code() == 2
        [line] = service.log().splitlines()
        assert "ACEQUIA_RAW_ZONE is not set" in line


def test_how_it_is_started_and_stopped(image: str, engine: docker.DockerClient) -> None:
    config = engine.images.get(IMAGE).attrs["Config"]
    assert config["Entrypoint"] == ["acequia"]
    assert config["User"] == "10001:10001"
    assert config["StopSignal"] == "SIGTERM"
    assert config["Volumes"] == {"/tmp": {}}


def buildkit() -> str | None:
    """A command line that builds by it: one that has it built in, as all had before version 23, or has its plugin."""
    for place in os.get_exec_path():
        found = shutil.which("docker", path=place)
        if found is not None:
            version = subprocess.run([found, "--version"], capture_output=True, text=True, check=True).stdout
            built_in = int(re.findall(r"version (\d+)", version)[0]) < PLUGIN_SINCE
            if (
                built_in
                or subprocess.run([found, "buildx", "version"], capture_output=True, check=False).returncode == 0
            ):
                return found
    return None


def test_the_other_builder_makes_it_too(image: str, engine: docker.DockerClient) -> None:
    """BuildKit; what it makes has the same packages in it."""
    command = buildkit()
    if command is None:
        pytest.skip("no docker command here builds by BuildKit")
    base = os.environ.get("ACEQUIA_LOCAL_BASE_IMAGE")
    arguments = ("--build-arg", f"BASE={base}") if base else ()
    told = [command, "build", "--quiet", "--tag", BUILT_BY_BUILDKIT, *arguments, "."]
    done = subprocess.run(
        told, cwd=PROJECT, env={**os.environ, "DOCKER_BUILDKIT": "1"}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-4_000:]
    try:
        said = [
            engine.containers.run(one, ["-c", PACKAGES], entrypoint="python", remove=True)
            for one in (image, BUILT_BY_BUILDKIT)
        ]
        assert said[0] == said[1]
        assert b"acequia" in said[0]
        assert engine.images.get(BUILT_BY_BUILDKIT).attrs["Config"]["User"] == "10001:10001"
    finally:
        engine.images.remove(BUILT_BY_BUILDKIT)
