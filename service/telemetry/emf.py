"""Metrics for CloudWatch: what alarms need, as lines of the log in its embedded metric format.

The figures are those of Prometheus, read from the same registry; counters are written as what they grew by since the
line before. One line a layer, because a line has one value for each dimension, and one for the process. Dimensions are
the layer and the environment's name, never a dataset: each combination is a metric of its own, and is paid for.
Format: AWS, "CloudWatch embedded metric format specification", in the CloudWatch user guide.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry

from service.core.ports import Clock

NAMESPACE = "Acequia"
SECONDS_BETWEEN = 60.0
LAYER, ENVIRONMENT = "Layer", "Environment"

_SHOWN = {
    "land": ("land",),
    "refine": ("refine",),
    "load": ("load",),
    "quarantine": ("quarantine-land", "quarantine-refine", "quarantine-load"),
}
"""What metrics call the layers that the settings name."""

Labels = Mapping[str, str]
Samples = Mapping[str, list[tuple[Labels, float]]]


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric of CloudWatch: the sum of some of Prometheus's samples.

    `of` names samples without their prefix, for any layer or, in a mapping, for each layer its own. A counter is
    written as what it grew by; a level is left out until there is a sample of it.
    """

    name: str
    unit: str
    of: tuple[str, ...] | Mapping[str, tuple[str, ...]]
    counter: bool = True
    state: str = ""

    def value(self, samples: Samples, layer: str, *, runs: bool) -> float | None:
        """Its value for one layer; None where it has none. A counter of what runs here begins at zero."""
        names = self.of.get(layer, ()) if isinstance(self.of, Mapping) else self.of
        found = [
            value
            for name in names
            for labels, value in samples.get(f"acequia_{name}", ())
            if labels.get("layer", layer) == layer and labels.get("state", self.state) == self.state
        ]
        return sum(found) if found or (runs and names and self.counter) else None


_IN = {
    "land": ("messages_received_total",),
    "refine": ("records_opened_total",),
    "load": ("rows_inserted_total", "rows_replaced_total", "rows_duplicate_total"),
    **dict.fromkeys(_SHOWN["quarantine"], ("failures_quarantined_total",)),
}
_OUT = {
    "land": ("messages_landed_total",),
    "refine": ("records_refined_total",),
    "load": ("rows_inserted_total", "rows_replaced_total"),
}

OF_LAYERS: tuple[Figure, ...] = (
    Figure("RecordsIn", "Count", _IN),
    Figure("RecordsOut", "Count", _OUT),
    Figure("Rejected", "Count", ("rejected_total",)),
    Figure("WorkFailures", "Count", ("work_failures_total",)),
    Figure("OldestAge", "Seconds", ("queue_oldest_age_seconds",), counter=False),
    Figure("Backlog", "Count", ("queue_messages",), counter=False, state="waiting"),
    Figure("InFlight", "Count", ("queue_messages",), counter=False, state="in_flight"),
    Figure("DatasetsPaused", "Count", ("dataset_paused",), counter=False),
    Figure("Paused", "Count", ("layer_paused",), counter=False),
)
MAIL_FAILURES = Figure("MailFailures", "Count", ("mail_failures_total",))
STARTS, MEMORY = "Starts", "Memory"
"""Of the process: 1 in its first line, and the bytes that it holds."""


class Embedded:
    """Writes the lines. `layers` are those that run here, `environment` is empty where it has no name."""

    def __init__(
        self,
        registry: CollectorRegistry,
        write: Callable[[Mapping[str, Any]], None],
        *,
        layers: Iterable[str],
        environment: str,
        clock: Clock,
    ) -> None:
        self._registry = registry
        self._write = write
        self._layers = [name for layer in layers for name in _SHOWN[layer]]
        self._environment = environment
        self._clock = clock
        self._written: dict[tuple[str, str], float] = {}
        self._starts = 1

    def report(self) -> None:
        """What happened since the last time: a line for each layer that runs or has figures, and the process's."""
        samples = self._samples()
        told = {labels["layer"] for found in samples.values() for labels, _ in found if "layer" in labels}
        for layer in [*self._layers, *sorted(told.difference(self._layers))]:
            measured = self._measured(OF_LAYERS, samples, layer)
            if measured:
                self._line({LAYER: layer}, measured)
        own: dict[str, tuple[str, float]] = {STARTS: ("Count", self._starts)}
        for _, held in samples.get("process_resident_memory_bytes", ()):  # none where there is no /proc
            own[MEMORY] = ("Bytes", held)
        self._line({}, own | self._measured([MAIL_FAILURES], samples, ""))
        self._starts = 0

    def _samples(self) -> Samples:
        found: dict[str, list[tuple[Labels, float]]] = {}
        for family in self._registry.collect():
            for sample in family.samples:
                found.setdefault(sample.name, []).append((sample.labels, sample.value))
        return found

    def _measured(self, figures: Iterable[Figure], samples: Samples, layer: str) -> dict[str, tuple[str, float]]:
        """Units and values by name."""
        measured = {}
        for figure in figures:
            value = figure.value(samples, layer, runs=layer in {*self._layers, ""})
            if value is not None and figure.counter:
                before = self._written.get((figure.name, layer), 0.0)
                self._written[figure.name, layer] = value
                value -= before
            if value is not None:
                measured[figure.name] = (figure.unit, value)
        return measured

    def _line(self, dimensions: Mapping[str, str], measured: Mapping[str, tuple[str, float]]) -> None:
        if self._environment:
            dimensions = {ENVIRONMENT: self._environment, **dimensions}
        directive = {
            "Namespace": NAMESPACE,
            "Dimensions": [list(dimensions)],
            "Metrics": [{"Name": name, "Unit": unit} for name, (unit, _) in measured.items()],
        }
        moment = int(self._clock.now().timestamp() * 1000)
        values = {name: value for name, (_, value) in measured.items()}
        self._write({"_aws": {"Timestamp": moment, "CloudWatchMetrics": [directive]}, **dimensions, **values})


@asynccontextmanager
async def reporting(embedded: Embedded, clock: Clock) -> AsyncIterator[None]:
    """Report at once, so that no start goes unseen; then every minute; and what is left at the end."""
    embedded.report()
    task = asyncio.create_task(_every_minute(embedded, clock), name="metrics")
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])
        embedded.report()
        if not task.cancelled():
            task.result()  # a bug of ours, to be told


async def _every_minute(embedded: Embedded, clock: Clock) -> None:
    due = clock.monotonic() + SECONDS_BETWEEN
    while True:
        await clock.sleep(due - clock.monotonic())
        embedded.report()
        now = clock.monotonic()
        due = due + SECONDS_BETWEEN if due + SECONDS_BETWEEN > now else now + SECONDS_BETWEEN
