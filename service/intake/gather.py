"""Piles by key, and which of them becomes a batch now. Pure: the loop in `consume.py` asks, awaits and obeys."""

from collections import deque
from collections.abc import Iterator
from typing import Generic, Literal, TypeVar

from service.core.batching import BatchLimits, Pile, Reason, Waiting
from service.core.model import Held, Message, Sorted

T = TypeVar("T")

SUSPECT_RECEIVES = 3
"""A message that comes for the third time may be what killed its processes: it goes alone, and takes nobody along."""


class Gather(Generic[T]):
    """What a layer holds and has not yet handed on: one pile a key, and a row of those that go alone.

    With `one_at_a_time`, a key whose last batch is still being worked on keeps collecting (group commit): what
    arrives meanwhile forms the next group, and the next batch of that key waits at least `interval_seconds` after it.
    There suspects and groups of a key take turns, so that many suspects do not keep the others waiting.
    """

    def __init__(self, limits: BatchLimits, *, one_at_a_time: bool, interval_seconds: float = 0.0) -> None:
        self._limits = limits
        self._one_at_a_time = one_at_a_time
        self._interval_seconds = interval_seconds
        self._not_before: dict[str, float] = {}
        self._piles: dict[str, Pile[Held[T]]] = {}
        self._suspects: dict[str, deque[Waiting[Held[T]]]] = {}
        self._busy: set[str] = set()
        self._went_alone: set[str] = set()
        """Keys whose last batch was a suspect: it is the pile's turn."""

    def __bool__(self) -> bool:
        return bool(self._suspects) or any(self._piles.values())

    def add(self, message: Message, item: Sorted[T], now: float) -> None:
        """Put a message on its pile, or in the row of those that go alone."""
        waiting = Waiting(Held(message, item.value), item.items, item.size_bytes, now)
        if message.receive_count >= SUSPECT_RECEIVES:
            self._suspects.setdefault(item.key, deque()).append(waiting)
        else:
            self._piles.setdefault(item.key, Pile(self._limits)).add(waiting)

    def seal(
        self, now: float, *, hurry: Literal["drain", "memory", "crowd"] | None
    ) -> tuple[str, Reason, list[Waiting[Held[T]]]] | None:
        """The next batch that should close at this moment, or None. Its key is busy until `finished` is called.

        In a hurry the largest pile closes, for that reason, when no pile has one of its own.
        """
        for key in self._suspects:
            if self._may_begin(key, now, hurry) and not (key in self._went_alone and self._reason(key, now)):
                return self._take_alone(key, now)
        for key, pile in self._ready():
            reason = pile.reason(now)
            if reason is not None and self._may_begin(key, now, hurry):
                return self._take(key, reason, now)
        if hurry is None:
            return None
        largest = max(self._ready(), key=lambda entry: entry[1].size_bytes, default=None)
        return self._take(largest[0], hurry, now) if largest else None

    def finished(self, key: str) -> None:
        """A batch of that key has been dealt with, one way or the other."""
        self._busy.discard(key)
        if not self._piles.get(key):
            self._piles.pop(key, None)

    def due_at(self) -> float | None:
        """When the next batch closes by time (monotonic seconds), or None while nothing waits for time."""
        piles = [self._due_at(key, pile) for key, pile in self._ready()]
        alone = [
            self._not_before.get(key, row[0].since) for key, row in self._suspects.items() if key not in self._busy
        ]
        return min([*piles, *alone], default=None)

    def _due_at(self, key: str, pile: Pile[Held[T]]) -> float:
        due = pile.due_at()
        assert due is not None, "a pile that is ready holds something"
        not_before = self._not_before.get(key, due)
        return not_before if pile.full() else max(due, not_before)

    def _ready(self) -> Iterator[tuple[str, Pile[Held[T]]]]:
        return ((key, pile) for key, pile in self._piles.items() if pile and key not in self._busy)

    def _reason(self, key: str, now: float) -> Reason | None:
        return self._piles[key].reason(now) if key in self._piles else None

    def _may_begin(self, key: str, now: float, hurry: str | None) -> bool:
        return key not in self._busy and (hurry == "drain" or now >= self._not_before.get(key, now))

    def _take_alone(self, key: str, now: float) -> tuple[str, Reason, list[Waiting[Held[T]]]]:
        row = self._suspects.pop(key)
        waiting = row.popleft()
        if row:
            self._suspects[key] = row  # to the end
        self._begin(key, now)
        self._went_alone.add(key)
        return key, "suspect", [waiting]

    def _take(self, key: str, reason: Reason, now: float) -> tuple[str, Reason, list[Waiting[Held[T]]]]:
        self._begin(key, now)
        self._went_alone.discard(key)
        pile = self._piles[key] = self._piles.pop(key)  # to the end: a key that is always full starves no other
        return key, reason, pile.take()

    def _begin(self, key: str, now: float) -> None:
        if self._one_at_a_time:
            self._busy.add(key)
            self._not_before[key] = now + self._interval_seconds
