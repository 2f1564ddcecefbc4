"""Events → Prometheus, on a registry of its own. Names are a promise: `docs/metrics.md` lists them, a test compares.

Base units, counters end in `_total`, labels come from closed sets: layer, dataset (only defined ones), reason, code.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.core import events
from service.core.events import Event

SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
AGES = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600, 4 * 24 * 3600)
LAYER, DATASET = ("layer",), ("dataset",)


@dataclass(frozen=True, slots=True)
class Measure:
    """What an event of that kind does to one metric, nothing where the value is None.

    Labels are the event's fields of that name, unless given.
    """

    kind: type[Counter | Gauge | Histogram]
    name: str
    documentation: str
    labels: tuple[str, ...]
    event: type[Any]
    value: Callable[[Any], float | None] = lambda _: 1
    given: tuple[tuple[str, str], ...] = ()
    ages: bool = False
    """The value is an age: it goes on by itself until the next event, since a layer that waits does not poll."""


def count(
    name: str,
    documentation: str,
    labels: tuple[str, ...],
    event: type[Any],
    value: Callable[[Any], float | None] = lambda _: 1,
) -> Measure:
    """A counter."""
    return Measure(Counter, name, documentation, labels, event, value)


def level(
    name: str,
    documentation: str,
    labels: tuple[str, ...],
    event: type[Any],
    value: Callable[[Any], float | None],
    **given: str,
) -> Measure:
    """A gauge."""
    return Measure(Gauge, name, documentation, labels, event, value, tuple(given.items()))


def age(
    name: str, documentation: str, labels: tuple[str, ...], event: type[Any], value: Callable[[Any], float | None]
) -> Measure:
    """A gauge of seconds that go on; 0 stays 0."""
    return Measure(Gauge, name, documentation, labels, event, value, ages=True)


def spread(
    name: str, documentation: str, labels: tuple[str, ...], event: type[Any], value: Callable[[Any], float | None]
) -> Measure:
    """A histogram."""
    return Measure(Histogram, name, documentation, labels, event, value)


def _loading_seconds(event: events.GroupLoaded) -> float | None:
    """None where nothing was left to load."""
    return event.seconds if event.files else None


OLDEST = "Age of the oldest message of the last poll since it was sent; goes on till the next one, 0 after an empty one"
DEPTH = "Messages that the layer's queue holds, about, all processes together"
PAUSED = "1 while a layer waits for a dependency"
DATASET_PAUSED = "1 while so much of a dataset is rejected that it waits"
FILES = "Files of committed groups, by whether the ledger knew them"

MEASURES: tuple[Measure, ...] = (
    count("messages_received", "Messages received", LAYER, events.MessagesReceived, lambda e: e.messages),
    count("message_bytes_received", "Bytes of bodies received", LAYER, events.MessagesReceived, lambda e: e.body_bytes),
    spread(
        "message_age_at_receive_seconds",
        "Age of a poll's oldest message since it was sent",
        LAYER,
        events.MessagesReceived,
        lambda e: e.age_seconds,
    ),
    age("queue_oldest_age_seconds", OLDEST, LAYER, events.MessagesReceived, lambda e: e.age_seconds),
    age("queue_oldest_age_seconds", OLDEST, LAYER, events.QueueEmpty, lambda _: 0),
    level("queue_messages", DEPTH, (*LAYER, "state"), events.QueueLooked, lambda e: e.waiting, state="waiting"),
    level("queue_messages", DEPTH, (*LAYER, "state"), events.QueueLooked, lambda e: e.in_flight, state="in_flight"),
    count("queue_crowded", "Looks at a queue that found a backlog and nothing to be had", LAYER, events.QueueCrowded),
    count("batches_closed", "Batches sealed, by why they closed", (*LAYER, *DATASET, "reason"), events.BatchClosed),
    spread(
        "batch_seconds",
        "From sealing a batch to settling its messages",
        (*LAYER, *DATASET),
        events.BatchFinished,
        lambda e: e.seconds,
    ),
    count("messages_settled", "Messages settled", (*LAYER, *DATASET), events.BatchFinished, lambda e: e.messages),
    count("batches_left", "Batches that would not end before a stop", (*LAYER, *DATASET), events.BatchLeft),
    count("messages_landed", "Messages stored in raw objects", DATASET, events.FileLanded, lambda e: e.messages),
    count("raw_bytes_stored", "Bytes of raw objects", DATASET, events.FileLanded, lambda e: e.size_bytes),
    count("records_opened", "Records found in raw objects", DATASET, events.FileRefined, lambda e: e.records),
    count("records_refined", "Records that passed refine", DATASET, events.FileRefined, lambda e: e.refined),
    count("refined_files_stored", "Refined objects stored", DATASET, events.FileRefined, lambda e: e.files),
    count("refined_bytes_stored", "Bytes of refined objects", DATASET, events.FileRefined, lambda e: e.size_bytes),
    count(
        "rejected",
        "Records and messages sent to dead letters",
        (*LAYER, *DATASET, "code"),
        events.RecordsRejected,
        lambda e: e.records,
    ),
    count("letters_quarantined", "Dead letters stored", LAYER, events.LettersQuarantined, lambda e: e.letters),
    count("failures_quarantined", "Failures that they told of", LAYER, events.LettersQuarantined, lambda e: e.records),
    count("mails", "Mails about failures that went out", (), events.MailSent),
    count("mail_failures", "Mails that could not be sent or claimed", ("kind",), events.MailFailed),
    count("failures_resolved", "Failures sent back and loaded since", (), events.RoundLooked, lambda e: e.resolved),
    count("resolve_failures", "Looks at rounds that could not be ended", ("kind",), events.ResolveFailed),
    count("copies", "COPY groups committed", DATASET, events.GroupLoaded, lambda e: bool(e.files)),
    Measure(
        Counter,
        "files_loaded",
        FILES,
        (*DATASET, "known"),
        events.GroupLoaded,
        lambda e: e.known_files,
        (("known", "yes"),),
    ),
    Measure(
        Counter, "files_loaded", FILES, (*DATASET, "known"), events.GroupLoaded, lambda e: e.files, (("known", "no"),)
    ),
    count("rows_inserted", "Rows that are new in the warehouse", DATASET, events.GroupLoaded, lambda e: e.inserted),
    count("rows_replaced", "Rows that took an earlier row's place", DATASET, events.GroupLoaded, lambda e: e.replaced),
    count("rows_duplicate", "Rows that the warehouse had already", DATASET, events.GroupLoaded, lambda e: e.duplicate),
    spread("load_transaction_seconds", "One load transaction", DATASET, events.GroupLoaded, _loading_seconds),
    count("loaders_met", "Load transactions that waited for the ledger's lock", DATASET, events.LoadersMet),
    count("work_failures", "Tries that met a dependency that is down", (*LAYER, "kind"), events.WorkFailed),
    count(
        "messages_deferred",
        "Messages of paused datasets, sent again",
        (*LAYER, *DATASET),
        events.MessagesDeferred,
        lambda e: e.messages,
    ),
    level("dataset_paused", DATASET_PAUSED, (*LAYER, *DATASET), events.DatasetPaused, lambda _: 1),
    level("dataset_paused", DATASET_PAUSED, (*LAYER, *DATASET), events.DatasetResumed, lambda _: 0),
    count("messages_released", "Messages given back undone", LAYER, events.MessagesReleased, lambda e: e.messages),
    count("claims_expired", "Messages held too long and let go", LAYER, events.ClaimsExpired, lambda e: e.messages),
    count(
        "settlement_failures",
        "Messages the queue did not settle",
        (*LAYER, "action"),
        events.SettlementFailed,
        lambda e: e.messages,
    ),
    level("layer_paused", PAUSED, LAYER, events.LayerPaused, lambda _: 1),
    level("layer_paused", PAUSED, LAYER, events.LayerResumed, lambda _: 0),
    count("shield_failures", "Requests for scale-in protection that ECS did not take", (), events.ShieldFailed),
    level("draining", "1 while the process drains", (), events.ServiceDraining, lambda _: 1),
)


class Metrics:
    """Every metric of the process. Call `record` with each event."""

    def __init__(self, registry: CollectorRegistry, now: Callable[[], float] = time.monotonic) -> None:
        self.registry = registry
        self._now = now
        made = _made(MEASURES, registry)
        self._by_event: dict[type[Any], list[tuple[Measure, Any]]] = {}
        for measure in MEASURES:
            self._by_event.setdefault(measure.event, []).append((measure, made[measure.name]))

    def record(self, event: Event) -> None:
        """Count it."""
        for measure, metric in self._by_event.get(type(event), ()):
            _apply(measure, metric, event, self._now)


def _made(measures: Iterable[Measure], registry: CollectorRegistry) -> dict[str, Counter | Gauge | Histogram]:
    made: dict[str, Counter | Gauge | Histogram] = {}
    for one in measures:
        if one.name in made:
            continue
        buckets = {"buckets": AGES if "age" in one.name else SECONDS} if one.kind is Histogram else {}
        made[one.name] = one.kind(
            f"acequia_{one.name}",
            one.documentation,
            one.labels,
            registry=registry,
            **buckets,  # type: ignore[arg-type]
        )
    return made


def _apply(measure: Measure, metric: Any, event: Event, now: Callable[[], float]) -> None:
    value = measure.value(event)
    if value is None:
        return
    given = dict(measure.given)
    labels = [given[name] if name in given else getattr(event, name) for name in measure.labels]
    child = metric.labels(*labels) if labels else metric
    if measure.kind is Counter:
        child.inc(value)
    elif measure.ages:
        since = now() - value
        child.set_function(lambda: now() - since if value else 0.0)
    elif measure.kind is Gauge:
        child.set(value)
    else:
        child.observe(value)
