"""The image as one task of Fargate's: so much processor, so much memory, and what of it was used, as the kernel counts.

Linux, with a Docker engine on this machine; cgroups of version 1 or 2.
"""

import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import docker
from docker.models.containers import Container

CGROUPS = Path("/sys/fs/cgroup")
START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 60
LOOK_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Size:
    """Of a task: `cpus` in vCPUs."""

    cpus: float
    memory_bytes: int


class Task:
    """A running container of the image."""

    def __init__(self, container: Container) -> None:
        self._container = container
        container.reload()
        self._pid = int(container.attrs["State"]["Pid"])

    def until_started(self) -> None:
        """Wait until it receives; raises TimeoutError with its log where it does not."""
        deadline = time.monotonic() + START_SECONDS_MAX
        while b'"service_started"' not in self._container.logs():
            if time.monotonic() > deadline:
                raise TimeoutError(f"the task has not started:\n{self._container.logs(tail=20).decode()}")
            time.sleep(LOOK_SECONDS)

    def pause(self) -> None:
        """Nothing of it runs."""
        self._container.pause()

    def go_on(self) -> None:
        """After a pause."""
        self._container.unpause()

    def cpu_seconds(self) -> float:
        """Used since its start, in the program and in the kernel for it."""
        if (CGROUPS / "cgroup.controllers").exists():
            told = (self._group("") / "cpu.stat").read_text(encoding="ascii")
            return _numbers(told)["usage_usec"] / 1e6
        return int((self._group("cpuacct") / "cpuacct.usage").read_text(encoding="ascii")) / 1e9

    def peak_bytes(self) -> int:
        """The most memory that the process has ever had resident."""
        status = Path(f"/proc/{self._pid}/status").read_text(encoding="ascii", errors="replace")
        return _numbers(status.replace(":", ""))["VmHWM"] * 1024

    def _group(self, controller: str) -> Path:
        """Where the kernel counts what it uses; version 2 has one place for all controllers."""
        for line in Path(f"/proc/{self._pid}/cgroup").read_text(encoding="ascii").splitlines():
            _, controllers, path = line.split(":", 2)
            if controller in controllers.split(","):
                return CGROUPS / controller / path.lstrip("/")
        raise LookupError(f"no cgroup {controller!r}")


@contextmanager
def running(image: str, size: Size, environment: Mapping[str, str]) -> Iterator[Task]:
    """Run the image for the length of the block, as the task definition does: nobody's user, read-only, one mount.

    It is on this machine's network, because the one-machine stack is bound to loopback.
    """
    engine = docker.from_env()
    container = engine.containers.run(
        image,
        detach=True,
        environment=dict(environment),
        network_mode="host",
        nano_cpus=int(size.cpus * 1e9),
        mem_limit=size.memory_bytes,
        memswap_limit=size.memory_bytes,
        read_only=True,
        tmpfs={"/tmp": "size=64m"},  # noqa: S108 (the image's one place to write)
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
    )
    try:
        task = Task(container)
        task.until_started()
        yield task
        container.stop(timeout=STOP_SECONDS_MAX)
    finally:
        container.remove(force=True)
        engine.close()


def _numbers(text: str) -> dict[str, int]:
    """The lines `name number`, maybe with a unit behind."""
    return {name: int(number) for name, number in re.findall(r"^(\w+)\s+(\d+)", text, re.MULTILINE)}
