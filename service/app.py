"""The composition root: opens every client, has every layer built, hands them to the supervisor. Everything once."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector

from service.aws.clients import Clients, open_client, open_clients
from service.aws.credentials.logins import GivenLogin, Logins
from service.aws.credentials.sources import cluster_logins, secret_logins, workgroup_logins
from service.aws.protection import open_protection
from service.aws.redshift import WarehouseLimits, open_warehouse_with
from service.aws.s3 import S3Store
from service.aws.sns import SnsTopic
from service.aws.sqs import SqsQueue, queue_url
from service.core.clock import SystemClock
from service.core.datasets import Dataset
from service.core.definitions import load_datasets
from service.core.errors import AbsentError, SetupError, TransientError
from service.core.events import Event, ServiceStarted, ServiceStopped, WorkFailed
from service.core.ports import Emit, Means, Notifier, Queue, Warehouse
from service.core.retry import Down, persist
from service.intake.reach import Check, Reach
from service.intake.shield import Shield
from service.load.migrate import Migration, Step
from service.load.roles import Roles
from service.quarantine.reprocess.tools import Tools as ReprocessTools
from service.runtime import EXIT_DRAINED, PooledFanOut, PooledThreads, Signals, Worker, supervise
from service.settings import LAYERS, PREFIX, Settings, ecs_agent_uri
from service.telemetry.emf import Embedded, reporting
from service.telemetry.health import Health
from service.telemetry.logs import Log
from service.telemetry.metrics import Metrics
from service.telemetry.server import serve
from service.upkeep.tools import Tools
from service.wiring.build import build
from service.wiring.parts import NEEDED, Parts, backoff
from service.wiring.reprocess import reprocess_tools
from service.wiring.upkeep import upkeep as upkeep_tools

CONNECTIONS_SPARE = 16
OpenQueues = Callable[[Settings, Clients, Means], Awaitable[Mapping[str, Queue]]]


async def run(settings: Settings, log: Log) -> int:
    """Run the configured layers until told to stop; returns the exit code. Raises SetupError before anything starts."""
    datasets = load_datasets(settings.datasets_directory)
    health, metrics = Health(), Metrics(_registry())

    def emit(event: Event) -> None:
        metrics.record(event)
        health.record(event)
        log.record(event)

    with Signals() as signals:
        async with AsyncExitStack() as stack:
            serving = serve(settings.http_host, settings.http_port, health=health, registry=metrics.registry)
            port = await stack.enter_async_context(serving)
            await stack.enter_async_context(_reporting(settings, metrics, log))
            parts = await signals.unless_stopped(_parts(settings, datasets, stack, emit, _reach_queues))
            code = EXIT_DRAINED
            if parts is not None:
                workers = [*build(parts), ("reach", _reach(parts)), *await _shield(parts, stack)]
                code = await supervise(
                    workers,
                    signals,
                    started=ServiceStarted(settings.layers, port),
                    drain_seconds_max=settings.drain_seconds_max,
                    clock=parts.means.clock,
                    emit=emit,
                )
    emit(ServiceStopped(code))
    return code


def _reporting(settings: Settings, metrics: Metrics, log: Log) -> AbstractAsyncContextManager[None]:
    """Lines of metrics in the log, where the settings ask for them."""
    if settings.metrics != "emf":
        return nullcontext()
    clock = SystemClock()
    environment = settings.environment or ""
    written = Embedded(metrics.registry, log.metrics, layers=settings.layers, environment=environment, clock=clock)
    return reporting(written, clock)


@asynccontextmanager
async def command_parts(settings: Settings, *, with_queues: bool = True) -> AsyncIterator[Parts]:
    """What a command works with: every queue, and nobody to tell. Raises TransientError while SQS is out of reach."""
    everywhere = settings.model_copy(update={"layers": LAYERS})
    queues = _open_queues if with_queues else _name_queues
    async with AsyncExitStack() as stack:
        yield await _parts(everywhere, load_datasets(settings.datasets_directory), stack, lambda _: None, queues)


@asynccontextmanager
async def upkeep(settings: Settings) -> AsyncIterator[Tools]:
    """What replay and reconcile work with, for the length of a command."""
    async with command_parts(settings) as parts:
        yield upkeep_tools(parts)


@asynccontextmanager
async def reprocess(settings: Settings) -> AsyncIterator[ReprocessTools]:
    """What reprocessing works with, for the length of a command. The warehouse is not reached before it is asked."""
    async with command_parts(settings) as parts:
        yield reprocess_tools(parts)


@asynccontextmanager
async def rejected(settings: Settings) -> AsyncIterator[ReprocessTools]:
    """The same for a look at what was rejected: SQS is not asked anything, and need not be within reach."""
    async with command_parts(settings, with_queues=False) as parts:
        yield reprocess_tools(parts)


async def _parts(
    settings: Settings, datasets: Mapping[str, Dataset], stack: AsyncExitStack, emit: Emit, queues: OpenQueues
) -> Parts:
    """Open every client, and find the queues; the stack closes it all."""
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
    means = Means(S3Store(clients.s3), PooledThreads(executor), fan_out, SystemClock(), emit)
    found = await queues(settings, clients, means)
    return Parts(settings, datasets, found, warehouse, means, await _notifier(settings, stack))


async def _notifier(settings: Settings, stack: AsyncExitStack) -> Notifier | None:
    """The topic for mail, where one is set and the layer that mails runs here."""
    if settings.alerts_topic_arn is None or "quarantine" not in settings.layers:
        return None
    return SnsTopic(await stack.enter_async_context(open_client("sns")), settings.alerts_topic_arn)


async def _shield(parts: Parts, stack: AsyncExitStack) -> list[tuple[str, Worker]]:
    """On ECS alone: elsewhere nobody could be asked."""
    agent_uri = ecs_agent_uri()
    if agent_uri is None:
        return []
    protection = await stack.enter_async_context(open_protection(agent_uri))
    return [("shield", Shield(protection, parts.busy, clock=parts.means.clock, emit=parts.means.emit))]


def _reach(parts: Parts) -> Reach:
    """What the configured layers cannot do without; the queues were found before."""
    settings, means = parts.settings, parts.means

    async def store() -> None:
        for zone in parts.zones():
            await means.store.describe(zone.uri("_reach"))
        if "quarantine" in settings.layers:  # the resolver lists the lake, and has no right to read it
            async for _ in means.store.pages(parts.zone("refined").uri("_reach")):
                break

    async def warehouse() -> None:
        async with parts.warehouse.transaction():
            return

    checks: dict[str, Check] = {"s3": store}
    if not {"load", "quarantine"}.isdisjoint(settings.layers):  # the resolver asks the ledgers
        checks["warehouse"] = warehouse
    return Reach(checks, backoff=backoff(settings, parts.jitter), emit=means.emit)


async def migrate(settings: Settings, *, dry_run: bool) -> list[Step]:
    """Bring the warehouse's tables to what the files and definitions say, or only tell what that would take."""
    datasets = load_datasets(settings.datasets_directory)
    async with _warehouse(settings) as warehouse:
        migration = Migration(settings.sql_directory, datasets, warehouse)
        now = SystemClock().now()
        return await (migration.plan(now) if dry_run else migration.run(now))


async def give_roles(settings: Settings, *, dry_run: bool) -> list[Step]:
    """Make the warehouse's roles and give them their rights, or only tell what that would take."""
    async with _warehouse(settings) as warehouse:
        database, copy_role = settings.warehouse_database, settings.copy_role_arn
        roles = Roles(settings.sql_directory, warehouse, database=database, copy_role=copy_role)
        return await (roles.plan() if dry_run else roles.run())


@asynccontextmanager
async def _warehouse(settings: Settings) -> AsyncIterator[Warehouse]:
    """The pool, and the client that its logins come from where they come from AWS."""
    dsn, tls = settings.warehouse_dsn.get_secret_value(), settings.warehouse_tls == "verify"
    limits = WarehouseLimits(settings.warehouse_connections_max, settings.warehouse_statement_seconds_max)
    async with (
        _logins(settings) as logins,
        open_warehouse_with(logins, dsn, tls=tls, limits=limits) as warehouse,
    ):
        yield warehouse


@asynccontextmanager
async def _logins(settings: Settings) -> AsyncIterator[Logins]:
    clock, database = SystemClock(), settings.warehouse_database
    match settings.warehouse_login:
        case "secret":
            async with open_client("secretsmanager") as client:
                yield secret_logins(client, settings.warehouse_secret_arn or "", clock=clock)
        case "iam-cluster":
            async with open_client("redshift") as client:
                yield cluster_logins(client, settings.warehouse_cluster or "", database, clock=clock)
        case "iam-serverless":
            async with open_client("redshift-serverless") as client:
                yield workgroup_logins(client, settings.warehouse_workgroup or "", database, clock=clock)
        case "password":
            password = settings.warehouse_password
            yield GivenLogin(password.get_secret_value() if password else None)


async def _reach_queues(settings: Settings, clients: Clients, means: Means) -> dict[str, Queue]:
    """The same, waiting for as long as SQS is out of reach: a restart would not bring it nearer."""

    async def rest(down: Down, seconds: float) -> bool:
        means.emit(WorkFailed("start", "transient", str(down), seconds))
        await means.clock.sleep(seconds)
        return True

    waits = backoff(settings, random.Random())  # noqa: S311 (jitter)
    queues = await persist(
        lambda: _open_queues(settings, clients, means), on=(TransientError,), backoff=waits, rest=rest
    )
    assert queues is not None, "it is never given up"
    return queues


async def _open_queues(settings: Settings, clients: Clients, means: Means) -> dict[str, Queue]:
    """The queues that the configured layers touch; SetupError when one does not exist."""
    names = _names(settings)
    urls = await means.fan_out.run(_url(settings, clients, name) for name in names)
    return {name: _queue(clients, means, name, url) for name, url in zip(names, urls, strict=True)}


async def _name_queues(settings: Settings, clients: Clients, means: Means) -> dict[str, Queue]:
    """Queues that nobody has looked for: for commands that leave them alone."""
    return {name: _queue(clients, means, name, url="") for name in _names(settings)}


def _names(settings: Settings) -> list[str]:
    return sorted({getattr(settings, field) for name in settings.layers for field in NEEDED[name]})


def _queue(clients: Clients, means: Means, name: str, url: str) -> Queue:
    return SqsQueue(name, url, polling=clients.polling, calls=clients.sqs, fan_out=means.fan_out, clock=means.clock)


async def _url(settings: Settings, clients: Clients, name: str) -> str:
    try:
        return await queue_url(clients.sqs, name)
    except AbsentError as wrong:
        fields = [field for field in type(settings).model_fields if getattr(settings, field) == name]
        raise SetupError(f"{PREFIX}{fields[0].upper()} holds {name!r}: {wrong}") from None


def _registry() -> CollectorRegistry:
    registry = CollectorRegistry()
    ProcessCollector(registry=registry)
    PlatformCollector(registry=registry)
    GCCollector(registry=registry)
    return registry
