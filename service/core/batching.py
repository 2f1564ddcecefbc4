"""When a batch closes, decided without awaiting.

A *pile* is what waits for one key (a dataset). It closes for a reason: `records` (as many as allowed; files, where the
items are files), `bytes`, `age` (of its first item, so an idle hour never makes the next item leave alone), `memory`
(the process holds as much as it may), `crowd` (the queue has too many messages in flight) or `drain` (we are stopping).
What came back too often goes alone, as `suspect`.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, Literal, TypeVar

T = TypeVar("T")

Reason = Literal["records", "bytes", "age", "memory", "crowd", "drain", "suspect"]


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How large and how old a batch may become."""

    items_max: int
    bytes_max: int
    seconds_max: float

    def __post_init__(self) -> None:
        assert self.items_max >= 1
        assert self.bytes_max >= 1
        assert self.seconds_max >= 0


@dataclass(frozen=True, slots=True)
class Waiting(Generic[T]):
    """One thing in a pile: what it is, how much of the limits it takes, and since when it waits (monotonic seconds)."""

    value: T
    items: int
    size_bytes: int
    since: float


class Pile(Generic[T]):
    """What waits for one key, oldest first. The first thing always fits, however large it is."""

    def __init__(self, limits: BatchLimits) -> None:
        self._limits = limits
        self._waiting: deque[Waiting[T]] = deque()
        self.items = 0
        self.size_bytes = 0

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def __repr__(self) -> str:
        return f"Pile({self.items} items, {self.size_bytes} bytes)"

    def add(self, waiting: Waiting[T]) -> None:
        """Put one thing on top; the age of the pile stays that of its first."""
        self._waiting.append(waiting)
        self.items += waiting.items
        self.size_bytes += waiting.size_bytes

    def due_at(self) -> float | None:
        """When the pile closes by age (monotonic seconds), or None while it is empty."""
        return self._waiting[0].since + self._limits.seconds_max if self._waiting else None

    def full(self) -> bool:
        """Whether the pile holds at least one whole batch."""
        return self.items >= self._limits.items_max or self.size_bytes >= self._limits.bytes_max

    def reason(self, now: float) -> Reason | None:
        """Why the pile should close at this moment, or None."""
        if not self._waiting:
            return None
        if self.items >= self._limits.items_max:
            return "records"
        if self.size_bytes >= self._limits.bytes_max:
            return "bytes"
        if now >= self._waiting[0].since + self._limits.seconds_max:
            return "age"
        return None

    def take(self) -> list[Waiting[T]]:
        """Remove and return one batch from the front: as much as the limits allow, at least one thing."""
        taken = list(self._fitting())
        for waiting in taken:
            self._waiting.popleft()
            self.items -= waiting.items
            self.size_bytes -= waiting.size_bytes
        return taken

    def _fitting(self) -> Iterator[Waiting[T]]:
        items = size_bytes = 0
        for waiting in self._waiting:
            items += waiting.items
            size_bytes += waiting.size_bytes
            if (items > self._limits.items_max or size_bytes > self._limits.bytes_max) and waiting is not self._waiting[
                0
            ]:
                return
            yield waiting
