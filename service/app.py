"""The composition root: opens every client, builds every layer, hands them to the supervisor. Everything once."""

import itertools
import random
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import TypeVar

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from service.aws.clients import Clients, open_clients
from service.aws.redshift import WarehouseLimits, open_warehouse
from service.aws.s3 import S3Store
from service.aws.sqs import SqsQueue, queue_url
from service.core.batching import BatchLimits
from service.core.clock import SystemClock
from service.core.datasets import Dataset, load_datasets
from service.core.errors import SetupError, TransientError
from service.core.events import Event, ServiceStarted, ServiceStopped, WorkFailed
from service.core.layer import Layer
from service.core.ports import Means, Queue, Warehouse
from service.core.retry import Backoff
from service.core.zones import Zone
from service.intake.budget import Budget
from service.intake.consume import Intake, IntakeLimits, Queues
from service.intake.letters import DeadLetters
from service.land.land import Land, Source
from service.load.catalogue import COLUMNS
from service.load.commit import STATEMENTS, Commit
from service.load.load import Load
from service.load.migrate import Migration, Step
from service.load.preflight import Preflight
from service.load.statements import Statements
from service.refine.compile import compile_datasets
from service.refine.execute import Keys
from service.refine.refine import Refine, RefineTerms
from service.runtime import PooledFanOut, PooledThreads, Worker, supervise
from service.settings import PREFIX, LayerName, Settings
from service.telemetry.health import Health
from service.telemetry.logs import Log
from service.telemetry.metrics import Metrics
from service.telemetry.server import serve

T = TypeVar("T")

RETRY_FIRST_SECONDS = 1.0
CONNECTIONS_SPARE = 16


@dataclass(frozen=True, slots=True)
class Parts:
    """What the layers are built from."""

    settings: Settings
    datasets: Mapping[str, Dataset]
    queues: Mapping[str, Queue]
    warehouse: Warehouse
    means: Means


async def run(settings: Settings, log: Log) -> int:
    """Run the configured layers until told to stop; returns the exit code. Raises SetupError before anything starts."""
    datasets = load_datasets(settings.datasets_directory)
    health, metrics = Health(), Metrics(_registry())

    def emit(event: Event) -> None:
        metrics.record(event)
        health.record(event)
        log.record(event)

    clock = SystemClock()
    async with AsyncExitStack() as stack:
        port = await stack.enter_async_context(
            serve(settings.http_host, settings.http_port, health=health, registry=metrics.registry)
        )
        executor = ThreadPoolExecutor(settings.threads_max, thread_name_prefix="acequia")
        stack.callback(executor.shutdown, wait=False, cancel_futures=True)
        clients = await stack.enter_async_context(
            open_clients(
                pollers=settings.land_pollers + len(settings.layers),
                poll_seconds=settings.poll_seconds,
                connections_max=settings.uploads_concurrent_max * len(settings.layers) + CONNECTIONS_SPARE,
            )
        )
        warehouse = await stack.enter_async_context(_warehouse(settings))
        fan_out = PooledFanOut(settings.uploads_concurrent_max)
        means = Means(S3Store(clients.s3), PooledThreads(executor), fan_out, clock, emit)
        queues = await _reach_queues(settings, clients, means)
        workers = build(Parts(settings, datasets, queues, warehouse, means))
        started = ServiceStarted(tuple(name for name, _ in workers), port)
        code = await supervise(
            workers, started=started, drain_seconds_max=settings.drain_seconds_max, clock=clock, emit=emit
        )
    emit(ServiceStopped(code))
    return code


async def migrate(settings: Settings, *, dry_run: bool) -> list[Step]:
    """Bring the warehouse's tables to what the files and definitions say, or only tell what that would take."""
    datasets = load_datasets(settings.datasets_directory)
    async with _warehouse(settings) as warehouse:
        migration = Migration(settings.sql_directory, datasets, warehouse)
        now = SystemClock().now()
        return await (migration.plan(now) if dry_run else migration.run(now))


def _warehouse(settings: Settings) -> AbstractAsyncContextManager[Warehouse]:
    return open_warehouse(
        settings.warehouse_dsn.get_secret_value(),
        password=settings.warehouse_password.get_secret_value() if settings.warehouse_password else None,
        tls=settings.warehouse_tls == "verify",
        limits=WarehouseLimits(settings.warehouse_connections_max, settings.warehouse_statement_seconds_max),
    )


def build(parts: Parts) -> list[tuple[str, Worker]]:
    """The configured layers, each at its queue."""
    settings = parts.settings
    raw, refined = Zone.parse("raw", settings.raw_zone), Zone.parse("refined", settings.refined_zone)
    budget = Budget(settings.memory_bytes_max)

    def worker(name: LayerName) -> Worker:
        match name:
            case "land":
                return _intake(parts, budget, _land(parts, raw), name)
            case "refine":
                return _intake(parts, budget, _refine(parts, raw, refined), name)
            case "load":
                return _intake(parts, budget, _load(parts, refined), name)

    return [(name, worker(name)) for name in settings.layers]


def _land(parts: Parts, raw: Zone) -> Land:
    settings = parts.settings
    source = Source(settings.records_queue, frozenset(parts.datasets), settings.records_dataset_default)
    if source.default_dataset is not None and source.default_dataset not in source.datasets:
        raise SetupError(
            f"ACEQUIA_RECORDS_DATASET_DEFAULT holds {source.default_dataset!r}: "
            f"{settings.datasets_directory} defines {', '.join(sorted(source.datasets))}"
        )
    return Land(source, raw=raw, refine_queue=parts.queues[settings.refine_queue], means=parts.means)


def _refine(parts: Parts, raw: Zone, refined: Zone) -> Refine:
    settings = parts.settings
    return Refine(
        compile_datasets(parts.datasets),
        zones=(raw, refined),
        load_queue=parts.queues[settings.load_queue],
        letters=_letters(parts, "refine"),
        terms=RefineTerms(
            keys=Keys(settings.key("identity"), settings.key("mask")),
            memory_bytes_max=settings.refine_memory_bytes_max,
            partitions_max=settings.refine_partitions_max,
        ),
        means=parts.means,
    )


def _load(parts: Parts, refined: Zone) -> Load:
    statements = Statements.load(parts.settings.sql_directory / "statements" / "load.sql", expected=STATEMENTS)
    commit = Commit(
        statements,
        warehouse=parts.warehouse,
        refined=refined,
        role=parts.settings.copy_role_arn,
        means=parts.means,
    )
    catalogue = Statements.load(parts.settings.sql_directory / "statements" / "catalogue.sql", expected=COLUMNS)
    preflight = Preflight(catalogue, warehouse=parts.warehouse, means=parts.means)
    return Load(parts.datasets, refined=refined, preflight=preflight, commit=commit, means=parts.means)


def _intake(parts: Parts, budget: Budget, layer: Layer[T], name: LayerName) -> Intake[T]:
    settings, means = parts.settings, parts.means
    queues = Queues(parts.queues[getattr(settings, _QUEUES[name][0])], _letters(parts, name))
    return Intake(layer, queues, limits=_limits(settings, name), budget=budget, clock=means.clock, emit=means.emit)


def _letters(parts: Parts, name: LayerName) -> DeadLetters:
    queue = parts.queues[getattr(parts.settings, _QUEUES[name][1])]
    return DeadLetters(queue, store=parts.means.store, errors=Zone.parse("errors", parts.settings.errors_zone))


_QUEUES: dict[LayerName, tuple[str, str]] = {
    "land": ("records_queue", "records_dead_queue"),
    "refine": ("refine_queue", "refine_dead_queue"),
    "load": ("load_queue", "load_dead_queue"),
}


def _limits(settings: Settings, name: LayerName) -> IntakeLimits:
    batch = {
        "land": BatchLimits(
            settings.land_batch_records_max, settings.land_batch_bytes_max, settings.land_batch_seconds_max
        ),
        "refine": BatchLimits(
            settings.refine_batch_files_max, settings.refine_batch_bytes_max, settings.refine_batch_seconds_max
        ),
        "load": BatchLimits(
            settings.load_batch_files_max, settings.load_batch_bytes_max, settings.load_batch_seconds_max
        ),
    }[name]
    return IntakeLimits(
        batch=batch,
        one_at_a_time=name == "load",
        interval_seconds=settings.load_copy_interval_seconds if name == "load" else 0.0,
        pollers=settings.land_pollers if name == "land" else 1,
        poll_seconds=settings.poll_seconds,
        visibility_seconds=settings.visibility_seconds,
        batches_max=settings.load_tables_max if name == "load" else settings.batches_concurrent_max,
        messages_max=settings.messages_inflight_max,
        backoff=Backoff(RETRY_FIRST_SECONDS, settings.retry_seconds_max, random.Random()),  # noqa: S311 (jitter)
    )


async def _reach_queues(settings: Settings, clients: Clients, means: Means) -> dict[str, Queue]:
    """The same, waiting for as long as SQS is out of reach: a restart would not bring it nearer."""
    backoff = Backoff(RETRY_FIRST_SECONDS, settings.retry_seconds_max, random.Random())  # noqa: S311 (jitter)
    for attempt in itertools.count(1):
        try:
            return await _open_queues(settings, clients, means)
        except TransientError as down:
            wait = backoff.seconds(attempt)
            means.emit(WorkFailed("start", "transient", str(down), wait))
            await means.clock.sleep(wait)
    raise AssertionError


async def _open_queues(settings: Settings, clients: Clients, means: Means) -> dict[str, Queue]:
    """The queues that the configured layers touch; SetupError when one does not exist."""
    needed = {getattr(settings, field) for name in settings.layers for field in _QUEUES[name]}
    needed |= {settings.refine_queue} if "land" in settings.layers else set()
    needed |= {settings.load_queue} if "refine" in settings.layers else set()
    names = sorted(needed)
    urls = await means.fan_out.run(_url(settings, clients, name) for name in names)
    return {
        name: SqsQueue(name, url, polling=clients.polling, calls=clients.sqs, fan_out=means.fan_out, clock=means.clock)
        for name, url in zip(names, urls, strict=True)
    }


async def _url(settings: Settings, clients: Clients, name: str) -> str:
    try:
        return await queue_url(clients.sqs, name)
    except SetupError as wrong:
        fields = [field for field in type(settings).model_fields if getattr(settings, field) == name]
        raise SetupError(f"{PREFIX}{fields[0].upper()} holds {name!r}: {wrong}") from None


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
