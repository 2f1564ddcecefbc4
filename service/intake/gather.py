"""Piles by key, and which of them becomes a batch now. Pure: the loop in `consume.py` asks, awaits and obeys."""

from collections import deque
from collections.abc import Iterator
from typing import Generic, Literal, TypeAlias, TypeVar

from service.core.batching import BatchLimits, Pile, Reason, Waiting
from service.core.model import Held, Message, Sorted

T = TypeVar("T")

SUSPECT_RECEIVES = 3
"""A message that comes for the third time may be what killed its processes: it goes alone, and takes nobody along."""

Place: TypeAlias = tuple[str, bool]
"""A pile's key, and whether it is that of suspects."""


class Gather(Generic[T]):
    """What a layer holds and has not yet handed on, one pile a key.

    With `one_at_a_time`, a key whose last batch is still being worked on keeps collecting (group commit): what
    arrives meanwhile forms the next group, and the next batch of that key waits at least `interval_seconds` after it.
    There suspects share a pile of their own: going one by one they would take for ever, and bring back what groups are
    the cure for.
    """

    def __init__(self, limits: BatchLimits, *, one_at_a_time: bool, interval_seconds: float = 0.0) -> None:
        self._limits = limits
        self._one_at_a_time = one_at_a_time
        self._interval_seconds = interval_seconds
        self._not_before: dict[str, float] = {}
        self._piles: dict[Place, Pile[Held[T]]] = {}
        self._suspects: deque[tuple[str, Waiting[Held[T]]]] = deque()
        self._busy: set[str] = set()

    def __bool__(self) -> bool:
        return bool(self._suspects) or any(self._piles.values())

    def add(self, message: Message, item: Sorted[T], now: float) -> None:
        """Put a message on its pile, or in the row of those that go alone."""
        waiting = Waiting(Held(message, item.value), item.items, item.size_bytes, now)
        suspect = message.receive_count >= SUSPECT_RECEIVES
        if suspect and not self._one_at_a_time:
            self._suspects.append((item.key, waiting))
        else:
            self._piles.setdefault((item.key, suspect), Pile(self._limits)).add(waiting)

    def seal(
        self, now: float, *, hurry: Literal["drain", "memory", "crowd"] | None
    ) -> tuple[str, Reason, list[Waiting[Held[T]]]] | None:
        """The next batch that should close at this moment, or None. Its key is busy until `finished` is called.

        In a hurry the largest pile closes, for that reason, when no pile has one of its own.
        """
        if self._suspects:
            key, waiting = self._suspects.popleft()
            return key, "suspect", [waiting]
        for place, pile in self._ready():
            reason = pile.reason(now)
            if reason is not None and (hurry == "drain" or now >= self._not_before.get(place[0], now)):
                return self._take(place, reason, now)
        if hurry is None:
            return None
        largest = max(self._ready(), key=lambda entry: entry[1].size_bytes, default=None)
        return self._take(largest[0], hurry, now) if largest else None

    def finished(self, key: str) -> None:
        """A batch of that key has been dealt with, one way or the other."""
        self._busy.discard(key)
        for place in ((key, False), (key, True)):
            if not self._piles.get(place):
                self._piles.pop(place, None)

    def due_at(self) -> float | None:
        """When the next pile closes by age (monotonic seconds), or None while nothing waits for time."""
        return min((self._due_at(place[0], pile) for place, pile in self._ready()), default=None)

    def _due_at(self, key: str, pile: Pile[Held[T]]) -> float:
        due = pile.due_at()
        assert due is not None, "a pile that is ready holds something"
        not_before = self._not_before.get(key, due)
        return not_before if pile.full() else max(due, not_before)

    def _ready(self) -> Iterator[tuple[Place, Pile[Held[T]]]]:
        return ((place, pile) for place, pile in self._piles.items() if pile and place[0] not in self._busy)

    def _take(self, place: Place, reason: Reason, now: float) -> tuple[str, Reason, list[Waiting[Held[T]]]]:
        key = place[0]
        if self._one_at_a_time:
            self._busy.add(key)
            self._not_before[key] = now + self._interval_seconds
        pile = self._piles[place] = self._piles.pop(place)  # to the end: a key that is always full starves no other
        return key, reason, pile.take()
