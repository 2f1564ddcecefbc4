"""`acequia local`: the main job on one machine, with the real worker as a child process beside the backing services."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from service.core.datasets import Dataset
from service.core.definitions import load_datasets
from service.core.errors import SetupError
from service.local.job import Job, Running, Work
from service.local.ports import HOST
from service.local.processes import Child, Command, child
from service.local.show import STEPS, show_places, show_sum
from service.local.stack import WAREHOUSE_PORT, Stack, backing_services
from service.runtime import EXIT_INTERRUPTED
from service.settings import LAYERS, PROJECT

SAMPLE_DATASET = "onboarding_events"
WORKER_STOP_SECONDS_MAX = 25.0
WORKER_START_SECONDS_MAX = 60.0
EXIT_MISSING = 1
TUNABLE = re.compile(r"ACEQUIA_\w+_(MAX|SECONDS|POLLERS|LEVEL)")
"""Limits may come from outside; where things are never does: a variable meant for production must not reach it."""


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
    async with backing_services(
        options.directory,
        sql=options.sql_directory,
        datasets=datasets,
        datasets_directory=options.datasets_directory.resolve(),
    ) as stack:
        console.print(f"Emulated AWS at {stack.aws_endpoint}, warehouse at {stack.warehouse_dsn}", soft_wrap=True)
        if stack.warehouse_port != WAREHOUSE_PORT:
            console.print(f"Port {WAREHOUSE_PORT} is taken, so the warehouse listens on {stack.warehouse_port}.")
        await asyncio.to_thread(_write_environment, stack, stack.directory / "environment")
        if options.stack_only:
            return await _stack_only(options, stack, console)
        work = Work(
            dataset=dataset,
            input=options.input,
            records_per_message=options.records_per_message,
            steps=STEPS[: len(options.layers) + 1],
            sql_directory=options.sql_directory,
            quarantined="quarantine" in options.layers,
        )
        async with _worker(stack, options.layers) as running:
            async with Job(work, running, stack, console) as job:
                found = await job.run()
                show_sum(console, dataset.name, found)
                if "load" in options.layers:
                    await job.answer_questions()
            show_places(console, stack, dataset.name, stays=options.stay)
            if options.stay:
                await _until_interrupted(running.process)
        return 0 if found.accounted == found.sent else EXIT_MISSING


def _checked(options: Options, datasets: dict[str, Dataset]) -> Dataset:
    if options.env_file is not None and not options.env_file.parent.is_dir():
        raise SetupError(f"--env-file {options.env_file}: the directory does not exist")
    if options.stack_only:
        return next(iter(datasets.values()))
    if options.dataset not in datasets:
        known = ", ".join(sorted(datasets))
        raise SetupError(
            f"--dataset {options.dataset}: {options.datasets_directory}/{options.dataset}.toml does not exist; "
            f"write it, or use one of {known}"
        )
    if options.input is not None and not options.input.is_file():
        what = "is a directory" if options.input.is_dir() else "no such file"
        raise SetupError(f"--input {options.input}: {what}")
    if options.env_file is not None and not options.stack_only:
        raise SetupError("--env-file goes with --stack-only")
    expected = LAYERS[: len(options.layers)]
    if options.layers != expected:
        raise SetupError(f"--layers {','.join(options.layers)}: give land; land,refine; land,refine,load; or all four")
    return datasets[options.dataset]


async def _stack_only(options: Options, stack: Stack, console: Console) -> int:
    if options.env_file is not None:
        await asyncio.to_thread(_write_environment, stack, options.env_file)
        console.print(f"Environment for acequia run: {options.env_file}")
    console.print("The backing services keep running; Ctrl-C stops them.")
    await asyncio.Event().wait()
    return 0


def _write_environment(stack: Stack, place: Path) -> None:
    """What `acequia run` and the commands need to work beside the stack."""
    lines = "".join(f"{name}={value}\n" for name, value in stack.environment.items())
    partial = place.with_name(place.name + ".partial")
    partial.write_text(lines, encoding="utf-8")
    partial.replace(place)  # whoever waits for the file finds it whole


@asynccontextmanager
async def _worker(stack: Stack, layers: tuple[str, ...]) -> AsyncIterator[Running]:
    """The container's process, with the environment that a container would get."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("ACEQUIA_", "AWS_"))}
    own = {"ACEQUIA_LAYERS": ",".join(layers), "ACEQUIA_HTTP_PORT": "0"}
    tuned = {name: value for name, value in os.environ.items() if TUNABLE.fullmatch(name)}
    command = Command(
        name="The worker (acequia run)",
        argv=(sys.executable, "-m", "service", "run"),
        env={**inherited, **stack.environment, **tuned, **own},
        directory=PROJECT,
        log=stack.directory / "worker.log",
        account=None,
        stop_signal=signal.SIGTERM,
        stop_seconds_max=WORKER_STOP_SECONDS_MAX,
    )
    ports: list[int] = []

    async def started() -> bool:
        ports.extend(_http_ports(command.log))
        return bool(ports)

    async with child(command) as process:
        await process.until_ready(started, seconds_max=WORKER_START_SECONDS_MAX)
        yield Running(process, f"http://{HOST}:{ports[0]}/metrics")


def _http_ports(log: Path) -> list[int]:
    """The port that the worker says it serves on, once it has started."""
    lines = [line for line in log.read_text(encoding="utf-8").splitlines() if '"service_started"' in line]
    return [json.loads(line)["http_port"] for line in lines]


async def _until_interrupted(worker: Child) -> None:
    while not await worker.exited(seconds_max=3600):
        pass
    raise worker.failure(f"ended by itself with status {worker.exit_status}")


def with_termination(work: Callable[[], Awaitable[int]]) -> int:
    """Run to the end; SIGTERM and Ctrl-C both cancel, and everything that was started is stopped in order."""

    async def main() -> int:
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        return await work()

    try:
        return asyncio.run(main())
    except (KeyboardInterrupt, asyncio.CancelledError):
        return EXIT_INTERRUPTED
