"""What each layer is built from, and how its limits come from the settings."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from service.core.batching import BatchLimits
from service.core.clock import LETTING_GO_SECONDS
from service.core.columns import VARCHAR_BYTES_MAX
from service.core.datasets import Dataset
from service.core.errors import SetupError
from service.core.events import DatasetPaused, DatasetResumed
from service.core.layer import Layer
from service.core.ports import Means, Queue, Warehouse
from service.core.retry import Backoff
from service.core.tolerance import Tolerance, ToleranceLimits
from service.core.zones import Zone
from service.intake.budget import Budget
from service.intake.busy import Busy
from service.intake.consume import RELEASE_SECONDS_MAX, Intake, IntakeLimits
from service.intake.letters import DeadLetters
from service.intake.settle import Queues
from service.land.land import Land, Source
from service.load.catalogue import CATALOGUE_STATEMENTS
from service.load.commit import STATEMENTS, Commit
from service.load.load import Load, Loading
from service.load.preflight import Preflight
from service.load.reasons import Reasons
from service.load.stage import Stage
from service.load.statements import Statements
from service.refine.compile import compile_datasets
from service.refine.execute import Keys
from service.refine.refine import Refine, RefineTerms
from service.runtime import ABANDON_SECONDS, Worker
from service.settings import LayerName, Settings

T = TypeVar("T")

RETRY_FIRST_SECONDS = 1.0

assert RELEASE_SECONDS_MAX + ABANDON_SECONDS <= LETTING_GO_SECONDS, "leaving work and giving back fit into what is kept"


@dataclass(frozen=True, slots=True)
class Parts:
    """What the layers are built from."""

    settings: Settings
    datasets: Mapping[str, Dataset]
    queues: Mapping[str, Queue]
    warehouse: Warehouse
    means: Means
    busy: Busy = field(default_factory=Busy)
    jitter: random.Random = field(default_factory=random.Random)


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
                return _intake(parts, budget, _load(parts, raw, refined), name)

    return [(name, worker(name)) for name in settings.layers]


def _land(parts: Parts, raw: Zone) -> Land:
    settings = parts.settings
    source = Source(settings.records_queue, frozenset(parts.datasets), settings.records_dataset_default)
    if source.default_dataset is not None and source.default_dataset not in source.datasets:
        raise SetupError(
            f"ACEQUIA_RECORDS_DATASET_DEFAULT holds {source.default_dataset!r}: "
            f"{settings.datasets_directory} defines {', '.join(sorted(source.datasets))}"
        )
    errors = Zone.parse("errors", settings.errors_zone)
    return Land(source, raw=raw, errors=errors, refine_queue=parts.queues[settings.refine_queue], means=parts.means)


def _refine(parts: Parts, raw: Zone, refined: Zone) -> Refine:
    settings = parts.settings
    return Refine(
        compile_datasets(parts.datasets, super_bytes_max=settings.super_string_bytes_max),
        zones=(raw, refined),
        load_queue=parts.queues[settings.load_queue],
        letters=_letters(parts, "refine"),
        terms=RefineTerms(
            keys=Keys(settings.key("identity"), settings.key("mask")),
            memory_bytes_max=settings.refine_memory_bytes_max,
            partitions_max=settings.refine_partitions_max,
        ),
        tolerance=_tolerance(parts, "refine", settings.refine_rejected_max),
        means=parts.means,
    )


def _load(parts: Parts, raw: Zone, refined: Zone) -> Load:
    statements = Statements.load(parts.settings.sql_directory / "statements" / "load.sql", expected=STATEMENTS)
    large_strings = parts.settings.super_string_bytes_max > VARCHAR_BYTES_MAX
    stage = Stage(statements, refined=refined, role=parts.settings.copy_role_arn, means=parts.means)
    commit = Commit(statements, warehouse=parts.warehouse, stage=stage, large_strings=large_strings, means=parts.means)
    catalogue = Statements.load(
        parts.settings.sql_directory / "statements" / "catalogue.sql", expected=CATALOGUE_STATEMENTS
    )
    preflight = Preflight(catalogue, warehouse=parts.warehouse, large_strings=large_strings, means=parts.means)
    loading = Loading(preflight, commit, Reasons(statements, parts.warehouse))
    return Load(
        parts.datasets,
        zones=(raw, refined),
        errors=Zone.parse("errors", parts.settings.errors_zone),
        loading=loading,
        tolerance=_tolerance(parts, "load", parts.settings.load_rejected_max),
        means=parts.means,
    )


def _tolerance(parts: Parts, layer: LayerName, rejected_max: int) -> Tolerance:
    settings, emit = parts.settings, parts.means.emit

    def told(dataset: str, why: str | None) -> None:
        emit(DatasetResumed(layer, dataset) if why is None else DatasetPaused(layer, dataset, why))

    limits = ToleranceLimits(settings.rejected_share_max, rejected_max, settings.rejected_pause_seconds)
    return Tolerance(limits, clock=parts.means.clock, told=told)


def _intake(parts: Parts, budget: Budget, layer: Layer[T], name: LayerName) -> Intake[T]:
    settings, means = parts.settings, parts.means
    queues = Queues(parts.queues[getattr(settings, QUEUES[name][0])], _letters(parts, name))
    return Intake(
        layer,
        queues,
        limits=_limits(settings, name, parts.jitter),
        budget=budget,
        busy=parts.busy,
        clock=means.clock,
        emit=means.emit,
    )


def _letters(parts: Parts, name: LayerName) -> DeadLetters:
    queue = parts.queues[getattr(parts.settings, QUEUES[name][1])]
    return DeadLetters(queue, store=parts.means.store, errors=Zone.parse("errors", parts.settings.errors_zone))


QUEUES: dict[LayerName, tuple[str, str]] = {
    "land": ("records_queue", "records_dead_queue"),
    "refine": ("refine_queue", "refine_dead_queue"),
    "load": ("load_queue", "load_dead_queue"),
}


def _limits(settings: Settings, name: LayerName, jitter: random.Random) -> IntakeLimits:
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
        backoff=backoff(settings, jitter),
    )


def backoff(settings: Settings, jitter: random.Random) -> Backoff:
    return Backoff(RETRY_FIRST_SECONDS, settings.retry_seconds_max, jitter)
