"""What one task of a layer does: the image under a Fargate size, beside the one-machine stack.

    docker build -t acequia .
    .venv/bin/python -m bench.rate [--layers land refine] [--runs 3] [--write | --show]

Input is made and stored first; the task is paused while its queue is filled, so that the clock and the processor time
count nothing but the work on it, from the first receive to the last deletion. One portion goes before, uncounted.

The figure that counts is the processor time an item costs the task, which the kernel counts and which other work on the
machine changes less than the clock. The emulators are processes beside it: by the clock a task is as fast as they are
wherever it used less than its processors. Settings are those of `deploy/ecs/service.yaml`, but for batches that need
few items, so that a run is short: land makes raw files of 1,000 messages (in production a file holds more, and each of
them costs less), and refine takes each file as a batch, so that a few of them keep all its threads busy.

What is not in it: TLS, which the emulators do not speak, and AWS's own latency. `--write` keeps the figures in
`bench/rates.json`.
"""

import argparse
import asyncio
import platform
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import psutil
from rich.progress import track

from bench.rate_figures import FILE, MIB, Figure, Measured, Spread, markdown, read
from bench.rate_input import Bodies, Given
from bench.rate_task import Size, Task, running
from bench.scaling_rules import TaskSize, read_task
from service.core.definitions import load_datasets
from service.core.model import Outgoing
from service.core.notice import FileNotice
from service.local.provision import LOAD, RECORDS, REFINE, open_aws
from service.local.stack import Stack, backing_services
from service.settings import PROJECT

QUEUES = {"land": (RECORDS, REFINE), "refine": (REFINE, LOAD), "load": (LOAD, None)}
"""What each takes from, and where its own notices go."""
RAW_FILE_MESSAGES = 1_000
POLL_SECONDS = 2
LOOK_SECONDS = 0.1
PATIENCE_SECONDS = 900.0

LayerName = Literal["land", "refine", "load"]


@dataclass(frozen=True, slots=True)
class Work:
    """What a run does. For land `items` are messages, for the others files made of such messages."""

    layer: LayerName
    item: str
    name: str
    bodies: Bodies
    items: int
    cpus: tuple[float, ...]


WORKS = (
    Work("land", "message", "one event", Bodies(4_000, 1), 4_000, (0.25, 0.5, 1)),
    Work("land", "message", "100 events", Bodies(1_000, 100), 1_000, (0.25, 0.5, 1)),
    Work("refine", "raw file", "1,000 messages of one event", Bodies(1_000, 1), 40, (0.5, 1)),
    Work("refine", "raw file", "50,000 messages of one event", Bodies(50_000, 1), 6, (0.5, 1)),
    Work("refine", "raw file", "2,500 messages of 100 events", Bodies(2_500, 100), 4, (0.5, 1)),
    Work("load", "refined file", "500 rows", Bodies(1_000, 1), 200, (0.5,)),
)


class Bench:
    """Runs works against a stack."""

    def __init__(self, stack: Stack, given: Given, image: str) -> None:
        self._stack = stack
        self._given = given
        self._image = image

    async def figure(self, work: Work, cpus: float, runs: int) -> Figure:
        """One task, warmed up, then so many runs."""
        task_size = replace(read_task(work.layer), cpus=cpus)
        size = Size(cpus, task_size.memory_bytes)
        cpu_seconds, rates, shares = [], [], []
        await self._clear(work)
        with running(self._image, size, self._environment(work, task_size)) as task:
            for number in range(runs + 1):
                items = await self._items(work, number)
                used, seconds = await self._run(work, task, items)
                if number:
                    cpu_seconds.append(used / len(items))
                    rates.append(len(items) / seconds)
                    shares.append(used / seconds / cpus)
            peak_bytes = task.peak_bytes()
        return Figure(
            layer=work.layer,
            item=work.item,
            work=work.name,
            size_bytes=_size_bytes(work, items),
            cpus=cpus,
            memory_bytes=size.memory_bytes,
            threads=task_size.threads,
            runs=runs,
            items=work.items,
            cpu_seconds=Spread.of(cpu_seconds),
            a_second=Spread.of(rates),
            used_share=Spread.of(shares).middle,
            peak_bytes=peak_bytes,
        )

    async def _items(self, work: Work, number: int) -> list[Outgoing]:
        """Of run `number`; the one before the first is smaller."""
        match work.layer:
            case "land":
                return self._given.messages(work.bodies)[: work.items if number else RAW_FILE_MESSAGES]
            case "refine":
                return await self._given.raw_files(work.bodies, work.items if number else 1)
            case "load":
                return await self._given.refined_files(work.bodies, work.items if number else 1)

    async def _run(self, work: Work, task: Task, items: Sequence[Outgoing]) -> tuple[float, float]:
        """Processor time and time, in seconds, from the first receive to the last deletion."""
        queue = QUEUES[work.layer][0]
        task.pause()
        await asyncio.sleep(POLL_SECONDS + 0.5)  # a poll under way ends, at the emulator, with nothing
        await self._given.send(queue, items)
        before, began = task.cpu_seconds(), time.monotonic()
        task.go_on()
        async with asyncio.timeout(PATIENCE_SECONDS):
            while await self._given.left(queue):  # noqa: ASYNC110 (another process)
                await asyncio.sleep(LOOK_SECONDS)
        seconds = time.monotonic() - began
        used = task.cpu_seconds() - before
        await self._clear(work)
        return used, seconds

    async def _clear(self, work: Work) -> None:
        following = QUEUES[work.layer][1]
        if following:
            await self._given.empty(following)

    def _environment(self, work: Work, task_size: TaskSize) -> Mapping[str, str]:
        """The task definition's limits; batches that do not wait long for more."""
        told = {name: value for name, value in self._stack.environment.items() if not name.endswith("_DIRECTORY")}
        return {
            **told,
            "ACEQUIA_LAYERS": work.layer,
            "ACEQUIA_POLL_SECONDS": str(POLL_SECONDS),
            "ACEQUIA_VISIBILITY_SECONDS": "600",
            "ACEQUIA_LAND_BATCH_SECONDS_MAX": "60",
            "ACEQUIA_LAND_BATCH_RECORDS_MAX": str(RAW_FILE_MESSAGES),
            "ACEQUIA_REFINE_BATCH_FILES_MAX": "1",
            **task_size.environment,
        }


def _size_bytes(work: Work, items: Sequence[Outgoing]) -> int:
    """Of one, in the middle."""
    if work.layer == "land":
        return sum(len(one.body.encode()) for one in items) // len(items)
    return sum(FileNotice.from_json(one.body).size_bytes for one in items) // len(items)


@asynccontextmanager
async def opened(image: str) -> AsyncIterator[Bench]:
    """A stack of its own, in a directory of its own."""
    datasets = load_datasets(PROJECT / "datasets")
    with tempfile.TemporaryDirectory(prefix="acequia-bench-") as directory:
        services = backing_services(
            Path(directory) / "stack", sql=PROJECT / "sql", datasets=datasets, datasets_directory=PROJECT / "datasets"
        )
        async with services as stack, open_aws(stack.aws_endpoint) as aws:
            yield Bench(stack, Given(aws), image)


async def main(image: str, layers: Sequence[str], runs: int) -> Measured:
    """Measure what the layers do."""
    wanted = [(work, cpus) for work in WORKS if work.layer in layers for cpus in work.cpus]
    async with opened(image) as bench:
        figures = [await bench.figure(work, cpus, runs) for work, cpus in track(wanted, transient=True)]
    machine = f"{psutil.cpu_count()} cores of {platform.machine()}, {psutil.virtual_memory().total // MIB:,} MiB"
    return Measured(datetime.now(UTC).date(), machine, figures)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--image", default="acequia", help="which to run")
    parser.add_argument("--layers", nargs="+", choices=[*QUEUES], default=[*QUEUES], help="which to measure")
    parser.add_argument("--runs", type=int, default=3, help="of each work, after one that is not counted")
    parser.add_argument("--write", action="store_true", help=f"keep the figures in {FILE.relative_to(PROJECT)}")
    parser.add_argument("--show", action="store_true", help="measure nothing, print what is kept there")
    options = parser.parse_args()
    if options.write and {*options.layers} != {*QUEUES}:
        parser.error("--write keeps the figures of all layers, measured on one day")
    measured = read() if options.show else asyncio.run(main(options.image, options.layers, options.runs))
    sys.stdout.write(markdown(measured))
    if options.write:
        FILE.write_text(measured.written(), encoding="utf-8")
    sys.exit(0)
