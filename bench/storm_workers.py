"""A worker process under observation: what it has used of processor and memory, as the kernel counts it (Linux)."""

import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import psutil

from service.local.processes import Command, child
from service.local.stack import Stack
from service.settings import PROJECT

START_SECONDS_MAX = 60.0
STOP_SECONDS_MAX = 30.0


class Worker:
    """An `acequia run`."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)

    def cpu_seconds(self) -> float:
        """Used so far, in the program and in the kernel for it."""
        used = self._process.cpu_times()
        return float(used.user + used.system)

    def memory_bytes(self) -> int:
        """Resident now."""
        return int(self._process.memory_info().rss)

    def peak_bytes(self) -> int:
        """The most that was ever resident."""
        status = Path(f"/proc/{self._process.pid}/status").read_text(encoding="ascii", errors="replace")
        [line] = [line for line in status.splitlines() if line.startswith("VmHWM:")]
        return int(line.split()[1]) * 1024


@asynccontextmanager
async def worker(stack: Stack, layers: str, **changed: str) -> AsyncIterator[Worker]:
    """Run these layers beside the stack for the length of the block. Raises ChildFailedError where it ends before."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("ACEQUIA_", "AWS_"))}
    command = Command(
        name=f"acequia run ({layers})",
        argv=(sys.executable, "-m", "service", "run"),
        env={**clean, **stack.environment, "ACEQUIA_LAYERS": layers, **changed},
        directory=PROJECT,
        log=stack.directory / f"worker-{layers.replace(',', '-')}.log",
        account=None,
        stop_signal=signal.SIGTERM,
        stop_seconds_max=STOP_SECONDS_MAX,
    )

    async def started() -> bool:
        return any(_event(line) == "service_started" for line in command.log.read_text(encoding="utf-8").splitlines())

    async with child(command) as process:
        await process.until_ready(started, seconds_max=START_SECONDS_MAX)
        yield Worker(process.pid)


def _event(line: str) -> str | None:
    try:
        return str(json.loads(line).get("event"))
    except ValueError:
        return None
