"""A real `acequia` behind a gate of its own: its calls pass through the proxy, what it says goes to a file."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from prometheus_client.parser import text_string_to_metric_families

from service.local.ports import HOST
from tests.faults.calls import Worker
from tests.stack.conftest import PROJECT

LOOK_SECONDS = 0.05
PATIENCE_SECONDS = 40


class Program:
    """A worker process, or a command. It never outlives its test: whoever makes one calls `close`."""

    def __init__(
        self, worker: Worker, directory: Path, environment: Mapping[str, str], arguments: Sequence[str] = ("run",)
    ) -> None:
        self.worker = worker
        self.name = worker.name
        self._log = directory / f"{worker.name}.log"
        clean = {n: v for n, v in os.environ.items() if not n.startswith(("ACEQUIA_", "AWS_"))}
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "service", *arguments],
                cwd=directory,
                env={**clean, "PYTHONPATH": str(PROJECT), **environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        worker.pid = self.process.pid

    @property
    def text(self) -> str:
        """All that it has said."""
        return self._log.read_text()

    def said(self, event: str = "") -> list[dict[str, Any]]:
        """What it has logged so far, of that kind."""
        lines = self._log.read_text().splitlines()
        told = [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]
        return [one for one in told if event in ("", one["event"])]

    async def until(self, event: str, *, count: int = 1, seconds_max: float = PATIENCE_SECONDS) -> dict[str, Any]:
        """Wait until it has logged that so often; the last of them."""
        await until(
            lambda: len(self.said(event)) >= count or self.process.poll() is not None,
            self._tail,
            seconds_max=seconds_max,
        )
        found = self.said(event)
        assert len(found) >= count, f"ended without {event}: {self._tail()}"
        return found[count - 1]

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    async def ended(self, *, seconds_max: float = PATIENCE_SECONDS) -> int:
        """Wait for its end; the exit code, negative for a signal's number."""
        began = time.monotonic()
        await until(lambda: self.process.poll() is not None, self._tail, seconds_max=seconds_max)
        assert time.monotonic() - began < seconds_max
        return int(self.process.returncode)

    async def drained(self, *, seconds_max: float = PATIENCE_SECONDS) -> int:
        """SIGTERM, and its end."""
        self.signal(signal.SIGTERM)
        return await self.ended(seconds_max=seconds_max)

    def resident_bytes(self) -> int:
        """The memory that it holds now."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def processor_seconds(self) -> float:
        """The processor time that it has used so far."""
        times = psutil.Process(self.process.pid).cpu_times()
        return float(times.user + times.system)

    async def paused(self) -> bool:
        """Whether it lives, and is not ready."""
        lives, ready = await self.probe("/livez"), await self.probe("/readyz")
        return lives[0] == 200 and ready[0] == 503

    async def probe(self, path: str) -> tuple[int, Any]:
        """What it answers to `/livez` or `/readyz`."""
        async with aiohttp.ClientSession() as http, http.get(f"{self._url()}{path}") as answer:
            return answer.status, await answer.json()

    async def metrics(self) -> dict[str, float]:
        """Samples by name, added up over their labels."""
        async with aiohttp.ClientSession() as http, http.get(f"{self._url()}/metrics") as answer:
            text = await answer.text()
        sums: dict[str, float] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                sums[sample.name] = sums.get(sample.name, 0.0) + sample.value
        return sums

    def close(self) -> None:
        """End it, if it still runs."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _url(self) -> str:
        [started] = self.said("service_started")
        return f"http://{HOST}:{started['http_port']}"

    def _tail(self) -> str:
        return f"{self.name} said:\n" + "\n".join(self._log.read_text().splitlines()[-25:])


async def until(
    condition: Callable[[], bool], why: Callable[[], str] = lambda: "", *, seconds_max: float = PATIENCE_SECONDS
) -> None:
    """Wait for other processes; fails with the words of `why`."""
    try:
        async with asyncio.timeout(seconds_max):
            while not condition():  # noqa: ASYNC110
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        raise AssertionError(f"not within {seconds_max:g} seconds. {why()}") from None
