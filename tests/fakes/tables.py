"""What is committed in a warehouse in memory, and what a transaction makes of it."""

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

Row = dict[str, Any]
LedgerRow = tuple[Any, ...]
T = TypeVar("T")


@dataclass
class State:
    """What is committed. Its lists never change: a COMMIT puts others in their place."""

    tables: dict[str, list[Row]] = field(default_factory=dict)
    ledger: dict[str, list[LedgerRow]] = field(default_factory=dict)
    locks: dict[str, asyncio.Lock] = field(default_factory=dict)

    def lock(self, ledger: str) -> asyncio.Lock:
        """Of one ledger."""
        return self.locks.setdefault(ledger, asyncio.Lock())


class Part(Generic[T]):
    """A table as a transaction sees it, and what it does to it."""

    def __init__(self, seen: Iterable[T]) -> None:
        self.seen = list(seen)
        self._added: list[T] = []
        self._gone: list[T] = []

    def add(self, items: Iterable[T]) -> None:
        """INSERT."""
        added = list(items)
        self.seen += added
        self._added += added

    def delete(self, gone: Callable[[T], bool]) -> None:
        """DELETE, also of what was inserted before."""
        self._gone += [one for one in self.seen if gone(one)]
        self.seen = [one for one in self.seen if not gone(one)]

    def onto(self, present: Iterable[T]) -> list[T]:
        """What is there after COMMIT, whatever others have committed meanwhile."""
        gone = {id(one) for one in self._gone}
        return [one for one in [*present, *self._added] if id(one) not in gone]
