"""What all layers are built from, and how their limits come from the settings."""

import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeVar

from service.core.batching import BatchLimits
from service.core.clock import LETTING_GO_SECONDS
from service.core.datasets import Dataset
from service.core.layer import Layer
from service.core.ports import Means, Notifier, Queue, Warehouse
from service.core.retry import Backoff
from service.core.zones import Zone
from service.intake.budget import Budget
from service.intake.busy import Busy
from service.intake.consume import RELEASE_SECONDS_MAX, Intake, IntakeLimits
from service.intake.letters import DeadLetters
from service.intake.settle import Queues
from service.runtime import ABANDON_SECONDS
from service.settings import LayerName, Settings

T = TypeVar("T")

RETRY_FIRST_SECONDS = 1.0
NEEDED: dict[LayerName, tuple[str, ...]] = {
    "land": ("records_queue", "records_dead_queue", "refine_queue"),
    "refine": ("refine_queue", "refine_dead_queue", "load_queue"),
    "load": ("load_queue", "load_dead_queue"),
    "quarantine": ("records_dead_queue", "refine_dead_queue", "load_dead_queue", "load_queue", "reprocess_queue"),
}
"""The settings that name the queues which a layer touches."""

ZONES: dict[LayerName, tuple[str, ...]] = {
    "land": ("raw", "errors"),
    "refine": ("raw", "refined", "errors"),
    "load": ("refined", "errors"),
    "quarantine": ("raw", "errors"),
}
"""The zones of which a layer reads or writes objects. Large letters lie in the errors zone. Beside quarantine the
resolver lists the refined zone, too."""

DEAD: dict[Literal["land", "refine", "load"], str] = {
    "land": "records_dead_queue",
    "refine": "refine_dead_queue",
    "load": "load_dead_queue",
}
"""The settings that name the dead-letter queue of each layer of the flow."""

assert RELEASE_SECONDS_MAX + 3 * ABANDON_SECONDS <= LETTING_GO_SECONDS, (
    "leaving batches, then the keeper, then giving back: each may have to leave calls that hang"
)


@dataclass(frozen=True, slots=True)
class Parts:
    """What the layers are built from. Without a notifier nobody is mailed."""

    settings: Settings
    datasets: Mapping[str, Dataset]
    queues: Mapping[str, Queue]
    warehouse: Warehouse
    means: Means
    notifier: Notifier | None = None
    busy: Busy = field(default_factory=Busy)
    jitter: random.Random = field(default_factory=random.Random)

    def queue(self, field_name: str) -> Queue:
        """The queue that this setting names."""
        return self.queues[getattr(self.settings, field_name)]

    def zone(self, name: str) -> Zone:
        """The raw, the refined or the errors zone."""
        return Zone.parse(name, getattr(self.settings, f"{name}_zone"))

    def zones(self) -> list[Zone]:
        """Those that the configured layers touch."""
        return [self.zone(name) for name in dict.fromkeys(name for one in self.settings.layers for name in ZONES[one])]

    def letters(self, field_name: str) -> DeadLetters:
        """The way to the dead-letter queue that this setting names."""
        return DeadLetters(self.queue(field_name), store=self.means.store, errors=self.zone("errors"))

    def intake(self, budget: Budget, layer: Layer[T], queues: tuple[str, str], limits: IntakeLimits) -> Intake[T]:
        """A layer at its queue; both queues by the settings that name them."""
        work, dead = queues
        return Intake(
            layer,
            Queues(self.queue(work), self.letters(dead)),
            limits=limits,
            budget=budget,
            busy=self.busy,
            clock=self.means.clock,
            emit=self.means.emit,
        )

    def limits(
        self,
        batch: BatchLimits,
        *,
        batches_max: int,
        pollers: int = 1,
        one_at_a_time: bool = False,
        interval_seconds: float = 0.0,
    ) -> IntakeLimits:
        """How a layer receives, with what is the same for all."""
        return IntakeLimits(
            batch=batch,
            one_at_a_time=one_at_a_time,
            interval_seconds=interval_seconds,
            pollers=pollers,
            poll_seconds=self.settings.poll_seconds,
            visibility_seconds=self.settings.visibility_seconds,
            batches_max=batches_max,
            messages_max=self.settings.messages_inflight_max,
            backoff=backoff(self.settings, self.jitter),
        )


def backoff(settings: Settings, jitter: random.Random) -> Backoff:
    """The waits between two tries while a dependency is down."""
    return Backoff(RETRY_FIRST_SECONDS, settings.retry_seconds_max, jitter)
