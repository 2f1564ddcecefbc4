"""What a layer brings to the intake: how to sort a message, and what to do with a sealed batch."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from service.core.errors import RejectedError
from service.core.model import Batch, Held, Message, Sorted

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Outcome(Generic[T]):
    """What became of a batch whose work ended.

    What is rejected goes to dead letters, what is deferred back to its queue for so many seconds, all else is done.
    """

    rejected: Sequence[tuple[Held[T], RejectedError]] = field(default=())
    deferred: Sequence[tuple[Held[T], float]] = field(default=())


class Layer(Protocol[T]):
    """One stage of the flow."""

    name: str

    def sort(self, message: Message) -> Sorted[T]:
        """Which pile the message belongs to; raises RejectedError when it belongs to none. Never waits."""
        ...

    async def handle(self, batch: Batch[T]) -> Outcome[T]:
        """Make the batch durable in the next place. Safe to repeat, also after being cancelled half-way.

        Raises TransientError when a dependency is down: the same batch is tried again.
        """
        ...
