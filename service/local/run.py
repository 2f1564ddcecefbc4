"""`acequia local`: the main job on one machine, with the real worker as a child process beside the backing services."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Self

import aiohttp
import asyncpg
from rich.console import Console

from service.aws.sqs import SqsQueue, queue_url
from service.core.clock import SystemClock
from service.core.datasets import Dataset, load_datasets
from service.core.errors import SetupError
from service.local.feed import QUEUED_MESSAGES_MAX, feed, messages, read_lines
from service.local.ports import HOST, free_port
from service.local.processes import Child, Command, child
from service.local.provision import RECORDS, open_aws
from service.local.questions import questions
from service.local.samples.onboarding import SPAN_DAYS, onboarding_samples
from service.local.show import STEPS, Bars, Sum, show_answer, show_places, show_sum, take_sum
from service.local.stack import WAREHOUSE_PORT, Stack, backing_services
from service.local.watch import Counts, scrape
from service.runtime import EXIT_INTERRUPTED, PooledFanOut
from service.settings import PROJECT

SAMPLE_DATASET = "onboarding_events"
SAMPLE_RECORDS = 20_000
SAMPLE_SEED = 7
LOOK_SECONDS = 0.2
STUCK_SECONDS = 90
WORKER_STOP_SECONDS_MAX = 25.0
HTTP_PORT = 9_100


@dataclass(frozen=True, slots=True)
class Options:
    """What was asked for on the command line."""

    datasets_directory: Path
    sql_directory: Path
    directory: Path
    input: Path | None
    dataset: str
    layers: tuple[str, ...]
    records_per_message: int
    stay: bool
    stack_only: bool
    env_file: Path | None


async def run_local(options: Options, console: Console) -> int:
    """Do it; returns the exit code. Raises SetupError with a sentence for what the person can mend."""
    datasets = load_datasets(options.datasets_directory)
    dataset = _checked(options, datasets)
    async with backing_services(options.directory, sql=options.sql_directory, datasets=datasets) as stack:
        console.print(f"Emulated AWS at {stack.aws_endpoint}, warehouse at {stack.warehouse_dsn}", soft_wrap=True)
        if stack.warehouse_port != WAREHOUSE_PORT:
            console.print(f"Port {WAREHOUSE_PORT} is taken, so the warehouse listens on {stack.warehouse_port}.")
        if options.stack_only:
            return await _stack_only(options, stack, console)
        async with _worker(stack, options.layers) as (worker, metrics_url):
            async with Job(options, dataset, stack, worker, metrics_url, console) as job:
                found = await job.run()
                if found is not None:
                    show_sum(console, dataset.name, found)
                    await job.answer_questions()
            show_places(console, stack, dataset.name, stays=options.stay)
            if options.stay:
                await _until_interrupted(worker)
        return 0 if found is None or found.adds_up else 1


def _checked(options: Options, datasets: dict[str, Dataset]) -> Dataset:
    if options.dataset not in datasets:
        known = ", ".join(sorted(datasets))
        raise SetupError(
            f"--dataset {options.dataset}: {options.datasets_directory}/{options.dataset}.toml does not exist; "
            f"write it, or use one of {known}"
        )
    if options.input is not None and not options.input.is_file():
        raise SetupError(f"--input {options.input}: no such file")
    expected = ("land", "refine", "load")[: len(options.layers)]
    if options.layers != expected:
        raise SetupError(f"--layers {','.join(options.layers)}: give land; land,refine; or land,refine,load")
    return datasets[options.dataset]


async def _stack_only(options: Options, stack: Stack, console: Console) -> int:
    if options.env_file is not None:
        lines = "".join(f"{name}={value}\n" for name, value in stack.environment.items())
        partial = options.env_file.with_name(options.env_file.name + ".partial")
        partial.write_text(lines, encoding="utf-8")
        partial.replace(options.env_file)  # whoever waits for the file finds it whole
        console.print(f"Environment for acequia run: {options.env_file}")
    console.print("The backing services keep running; Ctrl-C stops them.")
    await asyncio.Event().wait()
    return 0


@asynccontextmanager
async def _worker(stack: Stack, layers: tuple[str, ...]) -> AsyncIterator[tuple[Child, str]]:
    """The container's process, with the environment that a container would get."""
    port = free_port(HTTP_PORT)
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ACEQUIA_", "AWS_"))}
    own = {"ACEQUIA_LAYERS": ",".join(layers), "ACEQUIA_HTTP_PORT": str(port)}
    tuned = {n: v for n, v in os.environ.items() if n.startswith("ACEQUIA_") and not n.startswith("ACEQUIA_LOCAL_")}
    command = Command(
        name="The worker (acequia run)",
        argv=(sys.executable, "-m", "service", "run"),
        env={**inherited, **stack.environment, **own, **tuned},
        directory=PROJECT,
        log=stack.directory / "worker.log",
        account=None,
        stop_signal=signal.SIGTERM,
        stop_seconds_max=WORKER_STOP_SECONDS_MAX,
    )
    async with child(command) as running:
        yield running, f"http://{HOST}:{port}/metrics"


class Job:
    """Feeding, watching, asking: one run of the main job against a worker that runs."""

    def __init__(
        self, options: Options, dataset: Dataset, stack: Stack, worker: Child, metrics_url: str, console: Console
    ) -> None:
        self._options = options
        self._dataset = dataset
        self._stack = stack
        self._worker = worker
        self._metrics_url = metrics_url
        self._console = console
        self._counts = Counts()
        self._sent_messages = 0
        self._sent_records = 0
        self._all_sent = False
        self._looked = asyncio.Event()
        self._exits = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._http = await self._exits.enter_async_context(aiohttp.ClientSession())
        aws = await self._exits.enter_async_context(open_aws(self._stack.aws_endpoint))
        self._queue = SqsQueue(
            RECORDS,
            await queue_url(aws.sqs, RECORDS),
            polling=aws.sqs,
            calls=aws.sqs,
            fan_out=PooledFanOut(4),
            clock=SystemClock(),
        )
        self._warehouse = await asyncpg.connect(self._stack.warehouse_dsn, statement_cache_size=0)
        self._exits.push_async_callback(self._warehouse.close)
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._exits.aclose()

    async def run(self) -> Sum | None:
        """Feed everything and wait until it has gone through; the sum, where the warehouse was part of it."""
        steps = STEPS[: len(self._options.layers) + 1]
        bars = Bars(self._console, steps)
        with bars.progress:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._feed())
                group.create_task(self._watch(bars, steps[-1]))
        if steps[-1] != "loaded":
            return None
        return await take_sum(self._warehouse, self._dataset.name, self._sent_records, self._counts)

    async def answer_questions(self) -> None:
        """Three questions that an analyst would ask."""
        for question, statement in questions(self._options.sql_directory, self._dataset):
            await show_answer(self._console, self._warehouse, question, statement)

    async def _feed(self) -> None:
        lines = read_lines(self._options.input) if self._options.input is not None else _sample_lines()
        source = messages(lines, dataset=self._dataset.name, records_per_message=self._options.records_per_message)
        await feed(self._queue, source, room=self._room, sent=self._sent)
        self._all_sent = True

    async def _room(self, messages_wanted: int) -> None:
        while self._sent_messages + messages_wanted - self._counts.received > QUEUED_MESSAGES_MAX:
            self._looked.clear()
            await self._looked.wait()

    def _sent(self, message_count: int, records: int) -> None:
        self._sent_messages += message_count
        self._sent_records += records

    async def _watch(self, bars: Bars, last: str) -> None:
        """Look again and again until all is through; SetupError when nothing moves any more."""
        clock = SystemClock()
        totals, moved_at = self._totals(), clock.monotonic()
        while not self._all_sent or totals[last] < self._sent_records:
            if await self._worker.exited(seconds_max=LOOK_SECONDS):
                raise self._worker.failure(f"ended by itself with status {self._worker.exit_status}")
            self._counts = await scrape(self._http, self._metrics_url)
            self._looked.set()
            before, totals = totals, self._totals()
            bars.show(totals, self._sent_records if self._all_sent else None)
            moved_at = clock.monotonic() if totals != before else moved_at
            if clock.monotonic() - moved_at > STUCK_SECONDS:
                raise SetupError(
                    f"nothing has moved for {STUCK_SECONDS} seconds: see {self._stack.directory}/worker.log"
                )

    def _totals(self) -> dict[str, int]:
        counts, rejected = self._counts, self._counts.rejected_total
        everything_landed = self._all_sent and counts.landed >= self._sent_messages
        landed = self._sent_records if everything_landed else counts.landed * self._options.records_per_message
        return {
            "sent": self._sent_records,
            "landed": min(landed, self._sent_records),
            "refined": counts.refined + rejected,
            "loaded": counts.loaded + rejected,
        }


def _sample_lines() -> Iterable[bytes]:
    start = datetime.now(UTC) - timedelta(days=SPAN_DAYS)
    return (one.text.encode() for one in onboarding_samples(count=SAMPLE_RECORDS, seed=SAMPLE_SEED, start=start))


async def _until_interrupted(worker: Child) -> None:
    while not await worker.exited(seconds_max=3600):
        pass
    raise worker.failure(f"ended by itself with status {worker.exit_status}")


def with_termination(work: Callable[[], Awaitable[int]]) -> int:
    """Run to the end; SIGTERM and Ctrl-C both cancel, and everything that was started is stopped in order."""

    async def main() -> int:
        task = asyncio.current_task()
        assert task is not None
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
        return await work()

    try:
        return asyncio.run(main())
    except (KeyboardInterrupt, asyncio.CancelledError):
        return EXIT_INTERRUPTED
