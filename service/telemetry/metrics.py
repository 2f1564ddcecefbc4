"""Events → Prometheus, on a registry of its own. Names are a promise: `docs/metrics.md` lists them, a test compares.

Base units, counters end in `_total`, labels come from closed sets: layer, dataset (only defined ones), reason, code.
"""

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from service.core import events
from service.core.events import Event

SECONDS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800)
AGES = (1, 5, 15, 60, 300, 900, 3600, 4 * 3600, 24 * 3600, 4 * 24 * 3600)


class Metrics:
    """Every metric of the process. Call `record` with each event."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        counter, layer, dataset = self._counter, ["layer"], ["dataset"]
        self._received = counter("messages_received", "Messages received from the layer's queue", layer)
        self._received_bytes = counter("message_bytes_received", "Bytes of bodies received", layer)
        self._age = Histogram(
            "acequia_message_age_at_receive_seconds",
            "Age of a poll's oldest message since it was sent",
            layer,
            buckets=AGES,
            registry=registry,
        )
        self._crowded = counter("queue_crowded", "Empty polls of a queue with a backlog or too much in flight", layer)
        self._closed = counter("batches_closed", "Batches sealed, by why they closed", [*layer, *dataset, "reason"])
        self._batch_seconds = Histogram(
            "acequia_batch_seconds",
            "From sealing a batch to settling its messages",
            [*layer, *dataset],
            buckets=SECONDS,
            registry=registry,
        )
        self._settled = counter(
            "messages_settled", "Messages settled: done, or rejected after their dead letter", [*layer, *dataset]
        )
        self._left = counter("batches_left", "Batches that would not end before a stop", [*layer, *dataset])
        self._landed = counter("messages_landed", "Messages stored in raw objects", dataset)
        self._landed_bytes = counter("raw_bytes_stored", "Bytes of raw objects", dataset)
        self._opened = counter("records_opened", "Records found in raw objects", dataset)
        self._refined = counter("records_refined", "Records that passed refine", dataset)
        self._refined_files = counter("refined_files_stored", "Refined objects stored", dataset)
        self._refined_bytes = counter("refined_bytes_stored", "Bytes of refined objects", dataset)
        self._rejected = counter("rejected", "Records and messages sent to dead letters", [*layer, *dataset, "code"])
        self._letters = counter("letters_quarantined", "Dead letters that became error rows", layer)
        self._error_rows = counter("failures_quarantined", "Failures that dead letters told of", layer)
        self._mails = counter("mails", "Mails about failures that went out", [])
        self._mail_failures = counter("mail_failures", "Mails that could not be sent or claimed", ["kind"])
        self._resolved = counter("failures_resolved", "Failures that were sent back and are in the warehouse", [])
        self._resolve_failures = counter("resolve_failures", "Looks at rounds that could not be ended", ["kind"])
        self._copies = counter("copies", "COPY groups committed", dataset)
        self._files = counter(
            "files_loaded", "Files of committed groups, by whether the ledger knew them", [*dataset, "known"]
        )
        self._inserted = counter("rows_inserted", "Rows that are new in the warehouse", dataset)
        self._replaced = counter("rows_replaced", "Rows that took the place of the same record's earlier row", dataset)
        self._duplicate = counter("rows_duplicate", "Rows that the warehouse had already", dataset)
        self._copy_seconds = Histogram(
            "acequia_load_transaction_seconds", "One load transaction", dataset, buckets=SECONDS, registry=registry
        )
        self._met = counter("loaders_met", "Load transactions that waited for the ledger's lock", dataset)
        self._failures = counter("work_failures", "Tries that met a dependency that is down", [*layer, "kind"])
        self._deferred = counter("messages_deferred", "Messages of paused datasets, sent again", [*layer, *dataset])
        self._dataset_paused = Gauge(
            "acequia_dataset_paused",
            "1 while so much of a dataset is rejected that it waits",
            [*layer, *dataset],
            registry=registry,
        )
        self._released = counter("messages_released", "Messages given back undone", layer)
        self._expired = counter("claims_expired", "Messages held beyond their visibility and let go", layer)
        self._unsettled = counter("settlement_failures", "Messages the queue did not settle", [*layer, "action"])
        self._paused = Gauge("acequia_layer_paused", "1 while a layer waits for a dependency", layer, registry=registry)
        self._unshielded = counter("shield_failures", "Requests for scale-in protection that ECS did not take", [])
        self._draining = Gauge("acequia_draining", "1 while the process drains", registry=registry)
        self._by_event: dict[type[Any], Callable[[Any], None]] = {
            events.MessagesReceived: self._on_received,
            events.QueueCrowded: lambda e: self._crowded.labels(e.layer).inc(),
            events.BatchClosed: lambda e: self._closed.labels(e.layer, e.dataset, e.reason).inc(),
            events.BatchFinished: self._on_finished,
            events.BatchLeft: lambda e: self._left.labels(e.layer, e.dataset).inc(),
            events.FileLanded: self._on_landed,
            events.FileRefined: self._on_refined,
            events.RecordsRejected: lambda e: self._rejected.labels(e.layer, e.dataset, e.code).inc(e.records),
            events.LettersQuarantined: self._on_quarantined,
            events.MailSent: lambda _: self._mails.inc(),
            events.MailFailed: lambda e: self._mail_failures.labels(e.kind).inc(),
            events.RoundLooked: lambda e: self._resolved.inc(e.resolved),
            events.ResolveFailed: lambda e: self._resolve_failures.labels(e.kind).inc(),
            events.GroupLoaded: self._on_loaded,
            events.LoadersMet: lambda e: self._met.labels(e.dataset).inc(),
            events.WorkFailed: lambda e: self._failures.labels(e.layer, e.kind).inc(),
            events.LayerPaused: lambda e: self._paused.labels(e.layer).set(1),
            events.LayerResumed: lambda e: self._paused.labels(e.layer).set(0),
            events.DatasetPaused: lambda e: self._dataset_paused.labels(e.layer, e.dataset).set(1),
            events.DatasetResumed: lambda e: self._dataset_paused.labels(e.layer, e.dataset).set(0),
            events.MessagesDeferred: lambda e: self._deferred.labels(e.layer, e.dataset).inc(e.messages),
            events.MessagesReleased: lambda e: self._released.labels(e.layer).inc(e.messages),
            events.SettlementFailed: lambda e: self._unsettled.labels(e.layer, e.action).inc(e.messages),
            events.ClaimsExpired: lambda e: self._expired.labels(e.layer).inc(e.messages),
            events.ShieldFailed: lambda _: self._unshielded.inc(),
            events.ServiceDraining: lambda _: self._draining.set(1),
        }

    def record(self, event: Event) -> None:
        """Count it."""
        act = self._by_event.get(type(event))
        if act is not None:
            act(event)

    def _counter(self, name: str, documentation: str, labels: list[str]) -> Counter:
        return Counter(f"acequia_{name}", documentation, labels, registry=self.registry)

    def _on_received(self, event: events.MessagesReceived) -> None:
        self._received.labels(event.layer).inc(event.messages)
        self._received_bytes.labels(event.layer).inc(event.body_bytes)
        self._age.labels(event.layer).observe(event.age_seconds)

    def _on_finished(self, event: events.BatchFinished) -> None:
        self._settled.labels(event.layer, event.dataset).inc(event.messages)
        self._batch_seconds.labels(event.layer, event.dataset).observe(event.seconds)

    def _on_landed(self, event: events.FileLanded) -> None:
        self._landed.labels(event.dataset).inc(event.messages)
        self._landed_bytes.labels(event.dataset).inc(event.size_bytes)

    def _on_refined(self, event: events.FileRefined) -> None:
        self._opened.labels(event.dataset).inc(event.records)
        self._refined.labels(event.dataset).inc(event.refined)
        self._refined_files.labels(event.dataset).inc(event.files)
        self._refined_bytes.labels(event.dataset).inc(event.size_bytes)

    def _on_quarantined(self, event: events.LettersQuarantined) -> None:
        self._letters.labels(event.layer).inc(event.letters)
        self._error_rows.labels(event.layer).inc(event.records)

    def _on_loaded(self, event: events.GroupLoaded) -> None:
        self._files.labels(event.dataset, "yes").inc(event.known_files)
        if event.files:
            self._copies.labels(event.dataset).inc()
            self._files.labels(event.dataset, "no").inc(event.files)
            self._inserted.labels(event.dataset).inc(event.inserted)
            self._replaced.labels(event.dataset).inc(event.replaced)
            self._duplicate.labels(event.dataset).inc(event.duplicate)
            self._copy_seconds.labels(event.dataset).observe(event.seconds)
