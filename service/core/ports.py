"""What layers need of the world. `aws/` has the real ones, `tests/fakes/` those that keep a journal."""

from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ParamSpec, Protocol, TypeVar

from service.core.dead_letter import DeadLetter
from service.core.events import Event
from service.core.model import Message, Outgoing

P = ParamSpec("P")
R = TypeVar("R")

Emit = Callable[[Event], None]
"""Tell telemetry what happened. Never waits, never fails."""


class Clock(Protocol):
    """Where time comes from."""

    def monotonic(self) -> float:
        """Seconds that never jump."""
        ...

    def now(self) -> datetime:
        """The present moment, UTC."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait."""
        ...


class Threads(Protocol):
    """Where work that keeps a processor busy goes, so that the event loop stays free."""

    async def run(self, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it in a worker thread. Cancelling stops the waiting, never the work: it must be harmless to repeat."""
        ...


class FanOut(Protocol):
    """Independent one-shot work side by side, within a bound."""

    async def run(self, work: Iterable[Coroutine[Any, Any, R]]) -> list[R]:
        """All results, in order. Waits for every piece, then raises the first failure; each limits its own time."""
        ...


@dataclass(frozen=True, slots=True)
class Depth:
    """How many messages a queue holds, about: those to be had, and those that somebody has."""

    waiting: int
    in_flight: int


class Queue(Protocol):
    """One SQS queue. Every call raises TransientError when it cannot be reached, SetupError when it must not be."""

    name: str

    async def receive(self, *, wait_seconds: int, visibility_seconds: int) -> list[Message]:
        """Up to ten messages, waiting for the first; an empty list is no failure.

        A cancelled receive may leave messages invisible until their visibility ends: let it finish instead.
        """
        ...

    async def delete(self, receipts: Sequence[str]) -> list[str]:
        """Delete any number; returns the receipts that were not deleted (their messages will come again)."""
        ...

    async def hide(self, receipts: Sequence[str], seconds: int) -> list[str]:
        """Make messages visible again that many seconds from now (0: at once); returns the receipts that failed."""
        ...

    async def send(self, messages: Sequence[Outgoing]) -> None:
        """Send all of them. Raises when even one was not taken; those taken before stay sent."""
        ...

    async def depth(self) -> Depth:
        """How full the queue is, for all processes together; a minute old at worst, and never exact."""
        ...


@dataclass(frozen=True, slots=True)
class Stored:
    """An object as the store knows it; `new` says that it was not there before."""

    uri: str
    etag: str
    content_length_bytes: int
    new: bool = field(default=False, compare=False)


@dataclass(frozen=True, slots=True)
class Listed:
    """An object as a listing shows it; `stored_at` is UTC, in whole seconds on S3."""

    uri: str
    content_length_bytes: int
    stored_at: datetime


class ObjectStore(Protocol):
    """S3. Raises TransientError when it cannot be reached, SetupError when it must not be."""

    async def put_new(self, uri: str, body: bytes) -> Stored:
        """Store an object that never changes. Where one already lies at the address, that one is described.

        One that is broken is removed instead, and TransientError raised: the next try stores it anew.
        """
        ...

    async def describe(self, uri: str) -> Stored | None:
        """What lies at the address, without reading it; None when nothing does."""
        ...

    async def get(self, uri: str) -> bytes:
        """A whole object; raises RejectedError (`missing_object`) when nothing lies there."""
        ...

    async def remove(self, uris: Sequence[str]) -> None:
        """Have nothing lie at these addresses any more; raises when even one could not be removed."""
        ...

    def pages(self, prefix: str) -> AsyncIterator[Sequence[Listed]]:
        """Everything whose address begins with `prefix` (`s3://bucket/start-of-key`), in the order of the keys' bytes.

        No page is empty. What is stored or removed meanwhile may be in it or not; all else is in it once.
        """
        ...

    async def read(self, uri: str) -> tuple[bytes, str] | None:
        """A whole object and its etag; None where nothing lies."""
        ...

    async def replace(self, uri: str, body: bytes, *, etag: str | None) -> str | None:
        """Compare and set: store only if the object still has that etag; with None only if nothing lies there.

        Gives the new etag, or None when somebody was faster: read again and decide anew. The very same bytes lying
        there count as ours, so two who must not both win write different bodies. After a lost answer that somebody
        else has already written over, our own change is told as None too; and after TransientError it may be stored.
        """
        ...


@dataclass(frozen=True, slots=True)
class Statement:
    """One SQL statement with its name, so that a journal shows what was meant and a fake knows what was asked."""

    name: str
    text: str
    facts: Mapping[str, Any] = field(default_factory=dict)


class Session(Protocol):
    """A transaction under way in the warehouse."""

    async def execute(self, statement: Statement) -> None:
        """Run it for its effect."""
        ...

    async def fetch(self, statement: Statement) -> list[tuple[Any, ...]]:
        """Run it for its rows."""
        ...


class Warehouse(Protocol):
    """Redshift. Raises TransientError when another try may pass, SetupError when an operator must act, and
    RejectedError (`load_refused`) when the data was refused.
    """

    def transaction(self) -> AbstractAsyncContextManager[Session]:
        """Begin; commit at the end of the block; roll back when it raises. A lost connection rolls back by itself."""
        ...

    async def run(self, statement: Statement) -> None:
        """One statement outside a transaction, for those that Redshift takes in no other way."""
        ...


class Letters(Protocol):
    """The way to a layer's dead-letter queue."""

    async def send(self, letters: Sequence[DeadLetter]) -> None:
        """Send all of them; raises when even one was not taken. What is too large travels as a pointer."""
        ...


class Notifier(Protocol):
    """Where people are told something. Raises TransientError when it cannot be reached, SetupError when it must not."""

    async def publish(self, subject: str, text: str) -> None:
        """Tell all subscribers, at least once.

        A subject is 1 to 99 printable ASCII characters, a text 1 to 262,144 bytes: what is not is altered to be.
        """
        ...


@dataclass(frozen=True, slots=True)
class Means:
    """What the work of every layer needs."""

    store: ObjectStore
    threads: Threads
    fan_out: FanOut
    clock: Clock
    emit: Emit
