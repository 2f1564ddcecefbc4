"""The layers that records pass when all is well: land, refine, load."""

from service.core.batching import BatchLimits
from service.core.columns import VARCHAR_BYTES_MAX
from service.core.errors import SetupError
from service.core.events import DatasetPaused, DatasetResumed
from service.core.tolerance import Tolerance, ToleranceLimits
from service.intake.budget import Budget
from service.land.land import Land, Source
from service.load.accept import Accepted
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
from service.runtime import Worker
from service.settings import LayerName
from service.wiring.parts import Parts


def land_worker(parts: Parts, budget: Budget) -> Worker:
    """Layer 1 at the records queue."""
    settings = parts.settings
    refine_queue = parts.queue("refine_queue")
    layer = Land(
        source(parts), raw=parts.zone("raw"), errors=parts.zone("errors"), refine_queue=refine_queue, means=parts.means
    )
    batch = BatchLimits(settings.land_batch_records_max, settings.land_batch_bytes_max, settings.land_batch_seconds_max)
    limits = parts.limits(batch, batches_max=settings.batches_concurrent_max, pollers=settings.land_pollers)
    return parts.intake(budget, layer, ("records_queue", "records_dead_queue"), limits)


def refine_worker(parts: Parts, budget: Budget) -> Worker:
    """Layer 1 to 2 at the refine queue."""
    settings = parts.settings
    layer = Refine(
        compile_datasets(parts.datasets, super_bytes_max=settings.super_string_bytes_max),
        zones=(parts.zone("raw"), parts.zone("refined")),
        load_queue=parts.queue("load_queue"),
        letters=parts.letters("refine_dead_queue"),
        terms=RefineTerms(
            keys=keys(parts),
            memory_bytes_max=settings.refine_memory_bytes_max,
            partitions_max=settings.refine_partitions_max,
        ),
        tolerance=_tolerance(parts, "refine", settings.refine_rejected_max),
        means=parts.means,
    )
    batch = BatchLimits(
        settings.refine_batch_files_max, settings.refine_batch_bytes_max, settings.refine_batch_seconds_max
    )
    limits = parts.limits(batch, batches_max=settings.batches_concurrent_max)
    return parts.intake(budget, layer, ("refine_queue", "refine_dead_queue"), limits)


def load_worker(parts: Parts, budget: Budget) -> Worker:
    """Layer 2 at the load queue."""
    settings = parts.settings
    layer = Load(
        parts.datasets,
        accepted=accepted(parts),
        loading=_loading(parts),
        tolerance=_tolerance(parts, "load", settings.load_rejected_max),
        means=parts.means,
    )
    batch = BatchLimits(settings.load_batch_files_max, settings.load_batch_bytes_max, settings.load_batch_seconds_max)
    limits = parts.limits(
        batch,
        batches_max=settings.load_tables_max,
        one_at_a_time=True,
        interval_seconds=settings.load_copy_interval_seconds,
    )
    return parts.intake(budget, layer, ("load_queue", "load_dead_queue"), limits)


def source(parts: Parts) -> Source:
    """What land takes; raises SetupError for a default dataset that has no definition."""
    settings = parts.settings
    found = Source(settings.records_queue, frozenset(parts.datasets), settings.records_dataset_default)
    if found.default_dataset is not None and found.default_dataset not in found.datasets:
        raise SetupError(
            f"ACEQUIA_RECORDS_DATASET_DEFAULT holds {found.default_dataset!r}: "
            f"{settings.datasets_directory} defines {', '.join(sorted(found.datasets))}"
        )
    return found


def accepted(parts: Parts) -> Accepted:
    """What load takes."""
    return Accepted(frozenset(parts.datasets), parts.zone("raw"), parts.zone("refined"), parts.zone("errors"))


def keys(parts: Parts) -> Keys:
    """The secrets of `_record_id` and of masks."""
    return Keys(parts.settings.key("identity"), parts.settings.key("mask"))


def _loading(parts: Parts) -> Loading:
    statements = Statements.load(parts.settings.sql_directory / "statements" / "load.sql", expected=STATEMENTS)
    large_strings = parts.settings.super_string_bytes_max > VARCHAR_BYTES_MAX
    stage = Stage(statements, refined=parts.zone("refined"), role=parts.settings.copy_role_arn, means=parts.means)
    commit = Commit(statements, warehouse=parts.warehouse, stage=stage, large_strings=large_strings, means=parts.means)
    catalogue = Statements.load(
        parts.settings.sql_directory / "statements" / "catalogue.sql", expected=CATALOGUE_STATEMENTS
    )
    preflight = Preflight(catalogue, warehouse=parts.warehouse, large_strings=large_strings, means=parts.means)
    return Loading(preflight, commit, Reasons(statements, parts.warehouse))


def _tolerance(parts: Parts, layer: LayerName, rejected_max: int) -> Tolerance:
    settings, emit = parts.settings, parts.means.emit

    def told(dataset: str, why: str | None) -> None:
        emit(DatasetResumed(layer, dataset) if why is None else DatasetPaused(layer, dataset, why))

    limits = ToleranceLimits(settings.rejected_share_max, rejected_max, settings.rejected_pause_seconds)
    return Tolerance(limits, clock=parts.means.clock, told=told)
