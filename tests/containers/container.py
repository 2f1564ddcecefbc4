"""The service in a container: half a processor, 512 MiB, a read-only root, nobody's user, no capabilities."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from docker.models.containers import Container
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer

from tests.containers.built import IMAGE

MEMORY_BYTES = 512 * 1024**2
PROCESSORS = 0.5
STOP_SECONDS = 120
"""As the task definitions say: after SIGTERM, until SIGKILL."""
Environment = dict[str, str]

SMALL = {
    "ACEQUIA_MEMORY_BYTES_MAX": str(64 * 1024**2),
    "ACEQUIA_LAND_BATCH_BYTES_MAX": str(8 * 1024**2),
    "ACEQUIA_REFINE_MEMORY_BYTES_MAX": str(128 * 1024**2),
    "ACEQUIA_BATCHES_CONCURRENT_MAX": "2",
    "ACEQUIA_THREADS_MAX": "1",
}
"""For all layers in 512 MiB."""


def environment_of(file: Path) -> Environment:
    """What the one-machine stack tells a worker; datasets and statements are the image's own."""
    told = dict(line.split("=", 1) for line in file.read_text(encoding="utf-8").splitlines())
    return {name: value for name, value in told.items() if not name.endswith("_DIRECTORY")}


class Worker:
    """A running container of the image."""

    def __init__(self, container: Container) -> None:
        self._container = container

    def until(self, text: str, seconds_max: float) -> None:
        """Wait for a line of its log."""
        deadline = time.monotonic() + seconds_max
        while text not in self.log():
            assert time.monotonic() < deadline, f"no {text!r} in {seconds_max} s:\n{self.log()[-4_000:]}"
            time.sleep(0.2)

    def log(self) -> str:
        """Everything that it has said."""
        return bytes(self._container.logs()).decode()

    def stop(self) -> tuple[int, float]:
        """As ECS does it: SIGTERM, and after the stop time SIGKILL. Its exit code, and the seconds that it took."""
        began = time.monotonic()
        self._container.stop(timeout=STOP_SECONDS)
        return self.exit_code(), time.monotonic() - began

    def kill(self) -> int:
        """SIGKILL; the exit code."""
        self._container.kill("SIGKILL")
        return self.exit_code()

    def exit_code(self) -> int:
        """When it has ended."""
        return int(self._container.wait(timeout=STOP_SECONDS)["StatusCode"])

    def ran(self, *command: str) -> tuple[int, str]:
        """A command inside: exit code and output."""
        done = self._container.exec_run(list(command))
        return int(done.exit_code), done.output.decode()

    def processes(self) -> list[list[str]]:
        """What runs inside: user, process id on this machine, command."""
        return [[row[0], row[1], row[-1]] for row in self._container.top()["Processes"]]

    def peak_bytes(self) -> int:
        """The most memory that the service has ever had resident."""
        status = Path(f"/proc/{self._container_pid()}/status").read_text(encoding="ascii")
        found = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
        assert found is not None
        return int(found[1]) * 1024

    def _container_pid(self) -> int:
        self._container.reload()
        return int(self._container.attrs["State"]["Pid"])


@contextmanager
def worker(environment: Environment, *command: str) -> Iterator[Worker]:
    """Run the image for the length of the block; on the host's network, because the services are bound to loopback."""
    testcontainers_config.ryuk_disabled = True  # it would be an image to pull; the block removes what it started
    container = DockerContainer(IMAGE).with_envs(**environment)
    container.with_tmpfs_mount("/tmp", "size=64m")
    if command:
        container.with_command(list(command))
    container.with_kwargs(
        network_mode="host",
        mem_limit=MEMORY_BYTES,
        memswap_limit=MEMORY_BYTES,
        nano_cpus=int(PROCESSORS * 1e9),
        read_only=True,
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
    )
    with container:
        yield Worker(container.get_wrapped_container())
