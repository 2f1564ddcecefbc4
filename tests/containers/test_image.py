"""What is in the image, and how it behaves as a process."""

import docker
import pytest

from tests.containers.built import IMAGE
from tests.containers.container import SMALL, Environment, worker

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]


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
