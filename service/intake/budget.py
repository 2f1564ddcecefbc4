"""How many bytes of messages the process may hold, all layers together, as Python holds them."""

import sys
from collections.abc import Iterable

from service.core.model import Message


class Budget:
    """Full means: receive no more until something is let go of.

    Polls that are under way then still bring what they have: at the most 10 MiB each, as SQS counts.
    """

    def __init__(self, bytes_max: int) -> None:
        assert bytes_max > 0
        self._bytes_max = bytes_max
        self.held_bytes = 0

    def take(self, messages: Iterable[Message]) -> None:
        """Count messages that were received."""
        self.held_bytes += sum(map(memory_bytes, messages))

    def free(self, messages: Iterable[Message]) -> None:
        """Count them no more: nobody works with them any longer, whatever became of them."""
        self.held_bytes -= sum(map(memory_bytes, messages))

    def full(self) -> bool:
        """Whether the process holds as much as it may."""
        return self.held_bytes >= self._bytes_max


def memory_bytes(message: Message) -> int:
    """What a message takes of memory: a body with one character beyond the BMP takes four bytes for each."""
    size = sys.getsizeof(message.body)
    for name, attribute in message.attributes.items():
        size += sys.getsizeof(name) + sys.getsizeof(attribute.value)
    return size
